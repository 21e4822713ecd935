"""proxy.clients: logins by SOCKS5 and HTTP, what a wrong one costs, and what it never tells (rows C2, C8, C9, F2)."""

import base64
from typing import Any

import pytest
from twisted.internet import error
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.proxy.access import Access
from socksfusion.proxy.opening import Opened
from socksfusion.wire.socks5 import Reply
from tests.proxy.front import ACCEPTED, GREETING, NOWHERE, REQUEST, STREAM, Proxy

OFFER = b"\x05\x02\x00\x02"
RIGHT = b"\x01\x06branch\x05right"
WRONG = b"\x01\x06branch\x06Sesame"
CONNECT = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n"
BRANCH = Access("192.0.2.9:4000", agent="branch", token=bytes(32))


def basic(password: bytes) -> bytes:
    return b"Proxy-Authorization: Basic " + base64.b64encode(b"branch:" + password) + b"\r\n"


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.mark.parametrize(
    "sent",
    [(OFFER, RIGHT, REQUEST), (OFFER + RIGHT + REQUEST,), (CONNECT + basic(b"right") + b"\r\n",)],
    ids=["SOCKS5", "SOCKS5 at once", "HTTP"],
)
def test_a_right_login_completes_the_access_at_once(proxy: Proxy, sent: tuple[bytes, ...]) -> None:
    proxy.accounts.required = True
    proxy.connect(*sent)
    assert proxy.router.opens == [("example.com", 443, BRANCH)]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [(OFFER + WRONG, b"\x01\x01"), (CONNECT + basic(b"Sesame") + b"\r\n", b"HTTP/1.1 407 ")],
    ids=["SOCKS5", "HTTP"],
)
def test_c9_a_wrong_login_is_answered_later_each_time_and_opens_nothing(
    proxy: Proxy, sent: bytes, answer: bytes
) -> None:
    for delay in (0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0):
        transport = proxy.connect(sent, REQUEST)
        before = transport.value()
        proxy.clock.advance(delay - 0.01)
        assert transport.value() == before
        proxy.clock.advance(0.02)
        assert transport.value()[len(before) :].startswith(answer)
        assert transport.write_ended
        transport.protocol.readConnectionLost()
        assert transport.closed
    assert proxy.router.opens == []
    assert proxy.refusals.counts == {"login": 7}
    assert proxy.watched() == 0


def test_c9_the_log_of_a_wrong_login_holds_neither_password_nor_user_name(proxy: Proxy) -> None:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        proxy.connect(OFFER + WRONG)
        proxy.connect(CONNECT + basic(b"Sesame") + b"\r\n")
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [event["rule"] for event in events if "rule" in event] == ["login"]
    shown = str([{**event, "log_source": None} for event in events])
    for secret in ("Sesame", base64.b64encode(b"branch:Sesame").decode()):
        assert secret not in shown


def test_a_client_that_leaves_while_its_answer_is_delayed_leaves_no_timer(proxy: Proxy) -> None:
    transport = proxy.connect(OFFER + WRONG)
    transport.protocol.connectionLost(Failure(error.ConnectionDone()))
    proxy.clock.advance(limits.NEGOTIATION_SECONDS)
    assert proxy.clock.getDelayedCalls() == []
    assert transport.value() == b"\x05\x02"


def test_what_comes_during_the_delay_is_bounded(proxy: Proxy) -> None:
    transport = proxy.connect(OFFER + WRONG)
    transport.protocol.dataReceived(bytes(limits.EARLY_DATA_BYTES))
    assert transport.producerState == "paused"
    proxy.clock.advance(limits.LOGIN_DELAY_SECONDS)
    assert transport.value() == b"\x05\x02\x01\x01"
    assert transport.producerState == "producing"


@pytest.mark.parametrize(
    ("sent", "answer", "rule"),
    [
        (GREETING, b"\x05\xff", "socks-method"),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"\x00\x5b" + bytes(6), "socks4-login"),
        (CONNECT + b"\r\n", b"HTTP/1.1 407 ", "http-login"),
        (CONNECT + basic(b"right") + basic(b"wrong") + b"\r\n", b"HTTP/1.1 407 ", "http-login"),
    ],
    ids=["SOCKS5", "SOCKS4", "HTTP", "HTTP with two"],
)
def test_f2_where_a_login_is_required_nothing_is_opened_without(
    proxy: Proxy, sent: bytes, answer: bytes, rule: str
) -> None:
    proxy.accounts.required = True
    transport = proxy.connect(sent, REQUEST)
    assert transport.value().startswith(answer)
    assert proxy.refusals.counts == {rule: 1}
    assert proxy.router.opens == []


def test_an_http_client_is_asked_for_a_login_where_only_that_tells_the_agent(proxy: Proxy) -> None:
    proxy.accounts.ambiguous = True
    transport = proxy.connect(CONNECT + b"\r\n")
    assert transport.value().startswith(b"HTTP/1.1 407 ")
    assert proxy.router.opens == []
    proxy.connect(CONNECT + b"\r\n", agent="branch")
    assert len(proxy.router.opens) == 1


# -- the other ways in, up to the relay --


def test_socks4_is_dialled_and_relayed(proxy: Proxy) -> None:
    transport = proxy.connect(b"\x04\x01\x01\xbb\x00\x00\x00\x01me\x00example.com\x00early")
    assert proxy.router.opens == [("example.com", 443, Access("192.0.2.9:4000"))]
    proxy.router.dials[0].callback(Opened(Reply.SUCCEEDED, "198.51.100.3", 40000, STREAM))
    assert transport.value() == bytes.fromhex("00 5a 9c 40 c6 33 64 03")
    assert proxy.joined == [(transport, STREAM, b"early")]


def test_connect_is_dialled_and_relayed(proxy: Proxy) -> None:
    transport = proxy.connect(CONNECT + b"\r\nearly")
    proxy.router.dials[0].callback(Opened(Reply.SUCCEEDED, "198.51.100.3", 40000, STREAM))
    assert transport.value() == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert proxy.joined == [(transport, STREAM, b"early")]


def test_the_detail_of_a_failed_dial_reaches_an_http_client(proxy: Proxy) -> None:
    transport = proxy.connect(CONNECT + b"\r\n")
    proxy.router.dials[0].callback(Opened(Reply.NOT_ALLOWED, detail="denied by rule 3"))
    assert transport.value().startswith(b"HTTP/1.1 403 ")
    assert b"(denied by rule 3)" in transport.value()
    assert transport.write_ended


# -- UDP ASSOCIATE --

ASSOCIATE = GREETING + b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"


class Associations:
    """Begins associations that the test answers."""

    def __init__(self) -> None:
        self.clients: list[Any] = []
        self.lost = 0

    def begin(self, client: Any, access: Access, address: Any) -> "Associations":
        assert (access, address.port) == (Access("192.0.2.9:4000"), 0)
        self.clients.append(client)
        return self

    def client_lost(self) -> None:
        self.lost += 1


def test_without_associations_udp_is_answered_07(proxy: Proxy) -> None:
    transport = proxy.connect(ASSOCIATE)
    assert transport.value() == ACCEPTED + b"\x05\x07\x00" + NOWHERE
    assert transport.closed


def test_an_association_lives_as_long_as_its_client(proxy: Proxy) -> None:
    proxy.front.associations = associations = Associations()
    transport = proxy.connect(ASSOCIATE)
    (client,) = associations.clients
    client.answer(Reply.SUCCEEDED, "127.0.0.1", 40000)
    assert transport.value() == ACCEPTED + bytes.fromhex("05 00 00 01 7f 00 00 01 9c 40")
    transport.protocol.dataReceived(b"nothing that anybody reads")
    proxy.clock.advance(60)
    assert (transport.closed, associations.lost, proxy.router.opens) == (False, 0, [])
    transport.protocol.readConnectionLost()
    assert (transport.closed, associations.lost) == (True, 1)
