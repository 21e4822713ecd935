"""agent.outbound.authentication: Basic by its bytes, NTLM and Negotiate against the library's own acceptor."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from socksfusion.agent.outbound import authentication
from socksfusion.agent.outbound.authentication import Login
from socksfusion.agent.outbound.errors import OutboundFailed, OutboundLoginFailed
from socksfusion.agent.outbound.settings import OutboundProxy
from socksfusion.wire.http_connect import Challenge

pytest.importorskip("spnego")
from tests.agent.outbound.server_side import PASSWORD, USERS, Acceptor, accounts


def proxy(user: str | None = USERS[0], password: str | None = PASSWORD) -> OutboundProxy:
    return OutboundProxy("http", "proxy.example", 3128, user, password)


def offers(*challenges: str) -> list[Challenge]:
    return [Challenge(scheme.lower(), token) for scheme, _, token in (one.partition(" ") for one in challenges)]


@pytest.fixture(autouse=True)
def _no_kerberos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(authentication, "kerberos_at_hand", lambda: False)
    with accounts(tmp_path):
        yield


def log_in(login: Login, acceptor: Acceptor, *besides: str) -> int:
    """How many requests the whole login takes where ``besides`` is offered too."""
    challenge = acceptor.answer(None)
    for request in range(2, 9):
        assert challenge is not None
        challenge = acceptor.answer(login.answer(offers(challenge, *besides), reusable=True))
        if challenge is None:
            return request
    raise AssertionError("it never ends")


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
@pytest.mark.parametrize("user", USERS)
def test_a_login_that_the_acceptor_takes(scheme: str, user: str) -> None:
    acceptor = Acceptor(scheme)
    assert log_in(Login(proxy(user)), acceptor) == 3
    assert acceptor.context.complete


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
def test_a_wrong_password_is_told_and_not_tried_in_another_way(scheme: str) -> None:
    with pytest.raises(OutboundLoginFailed, match="does not take") as raised:
        log_in(Login(proxy(password="wrong-secret")), Acceptor(scheme), "Basic")
    assert "wrong-secret" not in str(raised.value)


def test_basic() -> None:
    login = Login(OutboundProxy("http", "proxy.example", 3128, "Aladdin", "open sesame"))
    # RFC 7617, section 2
    assert login.answer(offers('Basic realm="x"'), reusable=True) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    with pytest.raises(OutboundLoginFailed, match="does not take"):
        login.answer(offers('Basic realm="x"'), reusable=True)


@pytest.mark.parametrize(
    ("offered", "kerberos", "taken"),
    [
        (["Basic", "NTLM", "Negotiate"], False, "NTLM"),
        (["Basic", "Negotiate"], False, "Negotiate"),
        (["Digest", "Basic"], False, "Basic"),
        (["NTLM", "Negotiate"], True, "Negotiate"),
    ],
)
def test_the_strongest_is_taken(
    offered: Sequence[str], kerberos: bool, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "kerberos_at_hand", lambda: kerberos)
    assert Login(proxy()).answer(offers(*offered), reusable=True).partition(" ")[0] == taken


def test_without_a_user_there_is_nothing_to_say() -> None:
    for offered in ("Basic", "NTLM", "Negotiate"):
        with pytest.raises(OutboundLoginFailed, match=r"wants a login .*USER@HOST"):
            Login(proxy(None, None)).answer(offers(offered), reusable=True)


def test_without_a_user_or_a_ticket_negotiate_fails_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "kerberos_at_hand", lambda: True)
    monkeypatch.delenv("NTLM_USER_FILE")
    with pytest.raises(OutboundLoginFailed, match="no login by negotiate"):
        Login(proxy(None, None)).answer(offers("Negotiate"), reusable=True)


def test_kinds_that_we_have_not() -> None:
    for offered in (["Digest"], [], ["Bearer", "\x1b[31m"]):
        with pytest.raises(OutboundLoginFailed, match="of a kind that can't be given") as raised:
            Login(proxy()).answer(offers(*offered), reusable=True)
        assert "\x1b" not in str(raised.value)


def test_a_proxy_that_closes_within_the_handshake() -> None:
    login, acceptor = Login(proxy()), Acceptor("NTLM")
    # before it begins a new connection is no harm
    second = acceptor.answer(login.answer(offers("NTLM"), reusable=False))
    assert second is not None
    with pytest.raises(OutboundFailed, match="closes the connection in the middle") as raised:
        login.answer(offers(second), reusable=False)
    assert not isinstance(raised.value, OutboundLoginFailed)


@pytest.mark.parametrize("token", ["!!!", "AAAA", "TlRMTVNTUAACAAAA"])
def test_a_token_that_is_none(token: str) -> None:
    login = Login(proxy())
    login.answer(offers("NTLM"), reusable=True)
    with pytest.raises(OutboundLoginFailed) as raised:
        login.answer(offers(f"NTLM {token}"), reusable=True)
    assert "\n" not in str(raised.value)


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spnego", None)
    with pytest.raises(OutboundLoginFailed, match=r"pyspnego is missing: .*\[agent\]"):
        Login(proxy()).answer(offers("NTLM"), reusable=True)
    # and what can be done without it is done
    assert Login(proxy()).answer(offers("NTLM", "Basic"), reusable=True).startswith("Basic ")
