"""wire.http_proxy: CONNECT, logins, and one clear answer for all else (rows C1, C6, C7, C8, C9)."""

import base64
from email.message import Message
from email.parser import BytesParser

import pytest

from socksfusion.wire.http_proxy import ServerConnection
from socksfusion.wire.socks5 import Address, AddressKind, Command, Reply
from socksfusion.wire.way_in import LoginReceived, ProtocolFailed, RequestReceived
from tests.wire.http_corpus import BROKEN, CONNECT, GET
from tests.wire.talking import bytewise, talk

TO_NAME = Address("a.example", 443, AddressKind.NAME)


def basic(user: bytes, password: bytes, scheme: bytes = b"Basic") -> bytes:
    return b"Proxy-Authorization: " + scheme + b" " + base64.b64encode(user + b":" + password) + b"\r\n"


def answer(sent: bytes) -> tuple[int, Message, bytes]:
    """The one answer that was sent: status, headers, body. Anything behind it fails the test."""
    head, _, body = sent.partition(b"\r\n\r\n")
    first, _, lines = head.partition(b"\r\n")
    version, status, _reason = first.split(b" ", 2)
    headers = BytesParser().parsebytes(lines)
    assert version == b"HTTP/1.1"
    assert len(body) in (0, int(headers["Content-Length"]))
    assert headers["Connection"] == "close"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    return int(status), headers, body


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_connect_is_a_request_and_what_follows_is_early_data(version: bytes) -> None:
    data = (
        CONNECT.replace(b"HTTP/1.1", b"HTTP/" + version)
        + b"Content-Length: 0\r\n\r\n\x16\x03\x01GET / HTTP/1.1\r\n\r\n"
    )
    whole = talk(data)
    assert whole == ([RequestReceived(Command.CONNECT, TO_NAME)], b"", b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n")
    assert talk(*bytewise(data)) == whole


def asked(data: bytes) -> ServerConnection:
    connection = ServerConnection()
    (event,) = connection.receive_data(data)
    assert isinstance(event, RequestReceived)
    return connection


def test_success_of_a_connect_has_no_body_and_no_length() -> None:
    connection = asked(CONNECT + b"\r\n")
    connection.reply(Reply.SUCCEEDED, "192.0.2.7", 40000)
    assert connection.data_to_send() == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert connection.exchange() is None


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (Reply.GENERAL_FAILURE, 502, "proxy_internal_error"),
        (Reply.NOT_ALLOWED, 403, "destination_ip_prohibited"),
        (Reply.NETWORK_UNREACHABLE, 502, "destination_ip_unroutable"),
        (Reply.HOST_UNREACHABLE, 502, "destination_unavailable"),
        (Reply.REFUSED, 502, "connection_refused"),
        (Reply.TTL_EXPIRED, 504, "connection_timeout"),
    ],
)
@pytest.mark.parametrize("request_head", [CONNECT, GET], ids=["CONNECT", "GET"])
def test_every_reply_has_its_status_and_says_what_happened(
    request_head: bytes, code: Reply, status: int, error: str
) -> None:
    connection = asked(request_head + b"\r\n")
    connection.reply(code, detail="the agent's own words")
    told, headers, body = answer(connection.data_to_send())
    assert told == status
    assert headers["Proxy-Status"] == f"SocksFusion; error={error}"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    text = body.decode()
    assert text.startswith(f"{status} ")
    assert text.count("\n") == 1
    for words in ("a.example:", "(the agent's own words)", f"SOCKS reply {code:#04x}"):
        assert words in text


def test_an_ipv6_target_is_told_in_brackets() -> None:
    connection = asked(b"CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n")
    connection.reply(Reply.REFUSED)
    assert b" [2001:db8::1]:443 refused" in connection.data_to_send()


def test_an_answer_to_head_has_no_body() -> None:
    connection = asked(b"HEAD http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
    connection.reply(Reply.REFUSED)
    status, headers, body = answer(connection.data_to_send())
    assert (status, body) == (502, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize("name", BROKEN)
def test_c7_a_head_that_could_be_read_in_two_ways_gets_one_answer_at_every_split(name: str) -> None:
    data, expected = BROKEN[name]
    events, sent, early = whole = talk(data + b"GET http://b.example/ HTTP/1.1\r\nHost: b\r\n\r\n")
    assert isinstance(events[-1], ProtocolFailed)
    status, _, body = answer(sent)
    assert (status, early) == (expected, b"")
    assert body.count(b"\n") == 1
    pieces = bytewise(data) if len(data) < 1000 else [data[:100], data[100:20_000], data[20_000:]]
    assert talk(*pieces) == whole


@pytest.mark.parametrize("target", [b"a.example", b"a.example:65536", b"user@a.example:443", b"a" * 254 + b":1"])
def test_c1_a_bad_target_is_answered_400(target: bytes) -> None:
    _, sent, _ = talk(b"CONNECT " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer(sent)[0] == 400


# -- a browser that came by mistake --


@pytest.mark.parametrize("login_required", [False, True])
def test_who_takes_the_port_for_a_web_site_reads_what_it_is(login_required: bool) -> None:
    events, sent, _ = talk(
        b"GET /index.html HTTP/1.1\r\nHost: <script>alert(1)</script>\r\n\r\n", login_required=login_required
    )
    assert isinstance(events[-1], ProtocolFailed)
    assert events[-1].rule == "http-origin"
    status, headers, body = answer(sent)
    assert (status, headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"This is a proxy, not a web site" in body
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert b"<script" not in body


# -- logins --


def test_a_login_comes_before_the_request() -> None:
    events, sent, _ = talk(CONNECT + basic(b"client@agent", b"right") + b"\r\n")
    assert events == [LoginReceived(b"client@agent", b"right"), RequestReceived(Command.CONNECT, TO_NAME)]
    assert sent == b""


@pytest.mark.parametrize("login_required", [False, True])
def test_a_wrong_login_is_answered_407_and_nothing_is_opened(login_required: bool) -> None:
    events, sent, _ = talk(CONNECT + basic(b"agent", b"wrong") + b"\r\n", login_required=login_required)
    assert events == [LoginReceived(b"agent", b"wrong")]
    status, headers, _ = answer(sent)
    assert (status, headers["Proxy-Authenticate"]) == (407, 'Basic realm="SocksFusion", charset="UTF-8"')


def test_a_password_may_hold_colons_and_the_scheme_is_read_in_any_case() -> None:
    events, _, _ = talk(CONNECT + basic(b"agent", b"a:b:c", b"bAsIc") + b"\r\n")
    assert events == [LoginReceived(b"agent", b"a:b:c")]


NO_LOGINS = {
    "none": b"",
    "Authorization instead": b"Authorization: Basic YWdlbnQ6cmlnaHQ=\r\n",
    "right and wrong": basic(b"agent", b"right") + basic(b"agent", b"wrong"),
    "the same twice": basic(b"agent", b"right") * 2,
    "another scheme": b"Proxy-Authorization: Bearer abc\r\n",
    "no base64": b"Proxy-Authorization: Basic ****\r\n",
    "no colon": b"Proxy-Authorization: Basic YWdlbnQ=\r\n",
    "nothing": b"Proxy-Authorization:\r\n",
}


@pytest.mark.parametrize("name", NO_LOGINS)
def test_c8_only_one_proxy_authorization_is_a_login(name: str) -> None:
    events, sent, _ = talk(CONNECT + NO_LOGINS[name] + b"\r\n", login_required=True)
    (event,) = events
    assert isinstance(event, ProtocolFailed)
    assert event.rule == "http-login"
    status, headers, body = answer(sent)
    assert (status, headers["Proxy-Authenticate"][:5]) == (407, "Basic")
    assert b"AGENT or CLIENT@AGENT" in body


@pytest.mark.parametrize("name", sorted(set(NO_LOGINS) - {"none", "Authorization instead"}))
def test_c8_a_login_that_is_none_is_not_passed_over_where_it_is_optional(name: str) -> None:
    _, sent, _ = talk(CONNECT + NO_LOGINS[name] + b"\r\n")
    assert answer(sent)[0] == 407


@pytest.mark.parametrize(
    "head",
    [
        GET + b"Proxy-Authorization : Basic c2VjcmV0OnNlY3JldA==\r\n\r\n",
        GET + b"Proxy-Authorization: Basic c2VjcmV0OnNlY3JldA==\x01\r\n\r\n",
        b"GET http://secret:c2VjcmV0OnNlY3JldA==@a.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET c2VjcmV0OnNlY3JldA== HTTP/1.1 x\r\nHost: a\r\n\r\n",
    ],
    ids=["space", "control", "userinfo", "line"],
)
def test_c9_what_is_told_of_a_broken_head_quotes_nothing_of_it(head: bytes) -> None:
    (event,), sent, _ = talk(head)
    assert isinstance(event, ProtocolFailed)
    assert "c2Vj" not in event.why
    assert b"c2Vj" not in sent


def test_where_only_a_login_tells_the_agent_it_is_asked_for() -> None:
    connection = asked(GET + b"\r\n")
    connection.want_login()
    assert answer(connection.data_to_send())[0] == 407


def test_a_websocket_is_sent_to_connect() -> None:
    events, sent, _ = talk(GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert isinstance(events[-1], ProtocolFailed)
    status, _, body = answer(sent)
    assert status == 501
    assert b"CONNECT" in body
