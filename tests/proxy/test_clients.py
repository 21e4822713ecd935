"""proxy.clients: negotiation, dial and hand-over of a Client, over a transport in memory and a Clock."""

from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from socksfusion import limits
from socksfusion.descriptors import Headroom
from socksfusion.proxy.clients import ClientFactory, ClientProtocol, SocksFront
from socksfusion.proxy.opening import Opened
from socksfusion.refusals import Refusals
from socksfusion.wire.socks5 import Reply

GREETING = b"\x05\x01\x00"
REQUEST = bytes.fromhex("05 01 00 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 01 bb")
ACCEPTED = b"\x05\x00"
NOWHERE = bytes.fromhex("01 00 00 00 00 00 00")
PEER = IPv4Address("TCP", "192.0.2.9", 4000)
STREAM: Any = object()


class ClientTransport(StringTransport):
    """A transport that remembers how it was told to end."""

    bufferSize = 0

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.closed = False
        self.write_ended = False
        self.aborted = False

    def loseConnection(self) -> None:
        if not self.closed:
            self.closed = True
            self.protocol.connectionLost(Failure(error.ConnectionDone()))

    def loseWriteConnection(self) -> None:
        self.write_ended = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.protocol.connectionLost(Failure(error.ConnectionAborted()))


class FakeRouter:
    def __init__(self) -> None:
        self.opens: list[tuple[str, int, str | None, str]] = []
        self.dials: list[Deferred[Opened]] = []
        self.cancelled = 0

    def open(self, host: str, port: int, agent: str | None, client: str) -> "Deferred[Opened]":
        self.opens.append((host, port, agent, client))
        self.dials.append(Deferred(self._cancel))
        return self.dials[-1]

    def _cancel(self, dial: "Deferred[Opened]") -> None:
        self.cancelled += 1


@implementer(IHalfCloseableProtocol)
class RelayEnd(Protocol):
    """What a relay leaves on the Client's transport."""

    ended = False

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None: ...


class Proxy:
    """A SocksFront with everything around it faked."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.router = FakeRouter()
        self.refusals = Refusals(self.clock.seconds)
        self.joined: list[tuple[Any, Any, bytes]] = []
        self.front = SocksFront(self.clock, self.router, self.refusals, self.join)

    def join(self, transport: Any, stream: Any, early_data: bytes) -> None:
        self.joined.append((transport, stream, early_data))
        transport.protocol = RelayEnd()

    def connect(self, *sent: bytes, agent: str | None = None, address: IAddress = PEER) -> ClientTransport:
        transport = ClientTransport()
        client = ClientFactory(self.front, agent).buildProtocol(address)
        transport.protocol = client
        assert client is not None
        client.makeConnection(transport)
        for data in sent:
            transport.protocol.dataReceived(data)
        return transport

    def watched(self) -> int:
        return len(self.front.incomplete) + len(self.front.lingering)


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


def test_a_client_is_half_closeable(proxy: Proxy) -> None:
    verifyObject(IHalfCloseableProtocol, ClientProtocol(proxy.front, None, PEER))


@pytest.mark.parametrize("sent", [(GREETING, REQUEST), (GREETING + REQUEST,)], ids=["in turn", "at once"])
def test_success_is_told_only_after_the_router_did(proxy: Proxy, sent: tuple[bytes, ...]) -> None:
    transport = proxy.connect(*sent, agent="branch")
    assert proxy.router.opens == [("example.com", 443, "branch", "192.0.2.9:4000")]
    assert transport.value() == ACCEPTED
    proxy.router.dials[0].callback(Opened(Reply.SUCCEEDED, "198.51.100.3", 40000, STREAM))
    assert transport.value() == ACCEPTED + bytes.fromhex("05 00 00 01 c6 33 64 03 9c 40")
    assert proxy.joined == [(transport, STREAM, b"")]
    assert (transport.bufferSize, transport.producerState) == (limits.PLAIN_READ_BYTES, "producing")
    assert proxy.watched() == 0
    assert not proxy.refusals.counts


@pytest.mark.parametrize(
    ("address", "shown"),
    [(IPv6Address("TCP", "::1", 4000), "[::1]:4000"), (UNIXAddress("/run/socks"), "unix")],
)
def test_the_router_hears_who_asks(proxy: Proxy, address: IAddress, shown: str) -> None:
    proxy.connect(GREETING, REQUEST, address=address)
    assert proxy.router.opens == [("example.com", 443, None, shown)]


@pytest.mark.parametrize("reply", [reply for reply in Reply if reply is not Reply.SUCCEEDED])
def test_a_failed_dial_is_answered_with_its_code_then_closed(proxy: Proxy, reply: Reply) -> None:
    transport = proxy.connect(GREETING, REQUEST)
    proxy.router.dials[0].callback(Opened(reply))
    assert transport.value() == ACCEPTED + bytes((5, reply, 0)) + NOWHERE
    assert transport.closed
    assert proxy.joined == []


def test_a_router_that_raises_is_our_fault_and_logged(proxy: Proxy) -> None:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        transport = proxy.connect(GREETING, REQUEST)
        proxy.router.dials[0].errback(Failure(RuntimeError("a bug")))
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert transport.value() == ACCEPTED + b"\x05\x01\x00" + NOWHERE
    assert transport.closed
    assert [str(event["log_failure"].value) for event in events if "log_failure" in event] == ["a bug"]


def test_j3_a_router_that_raises_at_once_is_no_different(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy.router, "open", broken)
    transport = proxy.connect(GREETING, REQUEST)
    assert transport.value() == ACCEPTED + b"\x05\x01\x00" + NOWHERE
    assert transport.closed


def broken(*_: Any) -> Any:
    raise RuntimeError("a bug")


class Stream:
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


def test_j3_a_relay_that_cannot_be_made_resets_client_and_stream(proxy: Proxy) -> None:
    """The Agent must not keep a connection to the Target that nobody uses."""
    proxy.front.join = broken
    stream: Any = Stream()
    transport = proxy.connect(GREETING, REQUEST)
    proxy.router.dials[0].callback(Opened(Reply.SUCCEEDED, "", 0, stream))
    assert transport.aborted
    assert stream.aborted


# -- early data and half-close --


def test_c3_early_data_reaches_the_relay(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING + REQUEST + b"one ")
    transport.protocol.dataReceived(b"two")
    proxy.router.dials[0].callback(Opened(Reply.SUCCEEDED, "", 0, STREAM))
    assert proxy.joined == [(transport, STREAM, b"one two")]


def test_c3_reading_stops_at_64_kib_of_early_data_and_goes_on_in_the_relay(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING, REQUEST)
    transport.protocol.dataReceived(bytes(60 * 1024))
    assert transport.producerState == "producing"
    # the next read can't bring more than is kept
    assert transport.bufferSize == 4 * 1024
    transport.protocol.dataReceived(bytes(4 * 1024))
    assert transport.producerState == "paused"
    proxy.router.dials[0].callback(Opened(Reply.SUCCEEDED, "", 0, STREAM))
    assert (transport.bufferSize, transport.producerState) == (limits.PLAIN_READ_BYTES, "producing")
    assert proxy.joined == [(transport, STREAM, bytes(64 * 1024))]


def test_a_fin_during_the_dial_is_passed_on_after_success(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING, REQUEST + b"all of it")
    transport.protocol.readConnectionLost()
    assert proxy.router.cancelled == 0
    assert not transport.closed
    proxy.router.dials[0].callback(Opened(Reply.SUCCEEDED, "", 0, STREAM))
    assert proxy.joined == [(transport, STREAM, b"all of it")]
    assert transport.protocol.ended


def test_a_fin_during_a_dial_that_fails_closes_after_the_reply(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING, REQUEST + b"all of it")
    transport.protocol.readConnectionLost()
    proxy.router.dials[0].callback(Opened(Reply.REFUSED))
    assert transport.value() == ACCEPTED + b"\x05\x05\x00" + NOWHERE
    assert transport.closed
    assert proxy.watched() == 0


def test_a_client_that_is_lost_cancels_its_dial(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING, REQUEST)
    transport.protocol.connectionLost(Failure(error.ConnectionLost()))
    assert proxy.router.cancelled == 1
    assert transport.value() == ACCEPTED


def test_a_client_that_is_lost_after_the_reply_cancels_nothing(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING, REQUEST)
    proxy.router.dials[0].callback(Opened(Reply.REFUSED))
    assert transport.closed
    assert proxy.router.cancelled == 0


# -- refusals --


@pytest.mark.parametrize(
    ("sent", "answer", "rule"),
    [
        (b"\x05\x01\x02", b"\x05\xff", "socks-method"),
        (GREETING + b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", ACCEPTED + b"\x05\x07\x00" + NOWHERE, "socks-command"),
        (GREETING + b"\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", ACCEPTED + b"\x05\x07\x00" + NOWHERE, "socks-command"),
        (GREETING + b"\x05\x01\x00\x05", ACCEPTED + b"\x05\x08\x00" + NOWHERE, "socks-address"),
        (GREETING + b"\x05\x01\x00\x03\x00\x00\x50", ACCEPTED + b"\x05\x01\x00" + NOWHERE, "socks-host"),
        (GREETING + b"\x05\x01\x00\x03\x01\x00\x00\x50", ACCEPTED + b"\x05\x01\x00" + NOWHERE, "socks-host"),
    ],
    ids=["only RFC 1929", "BIND", "UDP ASSOCIATE", "address type", "empty host", "NUL host"],
)
def test_c1_c2_what_is_not_served_is_answered_and_ended(proxy: Proxy, sent: bytes, answer: bytes, rule: str) -> None:
    transport = proxy.connect(sent)
    assert transport.value() == answer
    assert transport.write_ended
    assert proxy.refusals.counts == {rule: 1}
    transport.protocol.dataReceived(REQUEST)
    transport.protocol.readConnectionLost()
    assert transport.closed
    assert proxy.router.opens == []
    assert proxy.watched() == 0


def test_a_refused_client_that_does_not_close_is_closed_after_a_second(proxy: Proxy) -> None:
    transport = proxy.connect(b"\x05\x01\x02")
    proxy.clock.advance(0.9)
    assert not transport.closed
    proxy.clock.advance(0.1)
    assert transport.closed


def test_a_failed_dial_with_early_data_is_read_on_so_that_no_reset_overtakes_the_reply(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING + REQUEST + bytes(limits.EARLY_DATA_BYTES))
    assert transport.producerState == "paused"
    proxy.router.dials[0].callback(Opened(Reply.REFUSED))
    assert transport.value() == ACCEPTED + b"\x05\x05\x00" + NOWHERE
    assert transport.write_ended
    assert transport.producerState == "producing"
    transport.protocol.dataReceived(b"more")
    proxy.clock.advance(1)
    assert transport.closed


@pytest.mark.parametrize(
    ("garbage", "name"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "an HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01", "a TLS ClientHello"),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "a SOCKS4 request"),
    ],
)
def test_garbage_is_closed_with_one_line_that_names_it(proxy: Proxy, garbage: bytes, name: str) -> None:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        transport = proxy.connect(garbage)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert (transport.value(), transport.closed) == (b"", True)
    (event,) = events
    assert (event["rule"], event["peer"]) == ("socks-version", "192.0.2.9:4000")
    assert name in event["why"]


MESSAGES = (GREETING, REQUEST, b"\x01\x01a\x01b", b"\x05\x01\x02", b"GET / HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("first", MESSAGES)
@pytest.mark.parametrize("second", MESSAGES)
@pytest.mark.parametrize("third", MESSAGES)
def test_c2_only_greeting_then_request_dials(proxy: Proxy, first: bytes, second: bytes, third: bytes) -> None:
    proxy.connect(first, second, third)
    assert len(proxy.router.opens) == ((first, second) == (GREETING, REQUEST))


def test_a_fin_before_the_request_is_whole_closes_without_a_dial(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING, REQUEST[:-1])
    transport.protocol.readConnectionLost()
    assert transport.closed
    assert proxy.router.opens == []


# -- limits --


def test_a1_ten_seconds_are_for_the_whole_negotiation(proxy: Proxy) -> None:
    transport = proxy.connect()
    for byte in (GREETING + REQUEST)[:10]:
        proxy.clock.advance(0.99)
        transport.protocol.dataReceived(bytes([byte]))
    assert not transport.closed
    proxy.clock.advance(0.1)
    assert transport.closed
    assert proxy.refusals.counts == {"socks-timeout": 1}


def test_the_negotiation_may_be_given_another_time(proxy: Proxy) -> None:
    proxy.front = SocksFront(proxy.clock, proxy.router, proxy.refusals, proxy.join, negotiation_seconds=2)
    transport = proxy.connect(GREETING)
    proxy.clock.advance(2)
    assert transport.closed


def test_the_dial_is_not_part_of_the_negotiation(proxy: Proxy) -> None:
    transport = proxy.connect(GREETING, REQUEST)
    proxy.clock.advance(60)
    assert not transport.closed


def test_a2_above_1024_incomplete_the_oldest_goes_and_the_newcomer_is_served(proxy: Proxy) -> None:
    silent = [proxy.connect() for _ in range(limits.INCOMPLETE_REQUESTS)]
    assert not any(transport.closed for transport in silent)
    honest = proxy.connect(GREETING, REQUEST)
    assert len(proxy.router.opens) == 1
    assert not honest.closed
    assert [transport.closed for transport in silent[:2]] == [True, False]
    more = [proxy.connect(GREETING) for _ in range(976)]
    assert not any(transport.closed for transport in more)
    assert sum(transport.closed for transport in silent) == 976
    assert proxy.refusals.counts == {"socks-crowded": 976}


def test_a2_a_thousand_honest_clients_at_once_are_all_dialled(proxy: Proxy) -> None:
    transports = [proxy.connect() for _ in range(1000)]
    for data in (GREETING, REQUEST):
        for transport in transports:
            transport.protocol.dataReceived(data)
    assert len(proxy.router.opens) == 1000
    assert not proxy.refusals.counts


def test_one_timer_serves_all_and_none_is_left(proxy: Proxy) -> None:
    for _ in range(100):
        proxy.connect(GREETING, REQUEST)
    assert len(proxy.clock.getDelayedCalls()) == 1
    proxy.clock.advance(limits.NEGOTIATION_SECONDS)
    assert proxy.clock.getDelayedCalls() == []


def test_j1_too_many_open_files_close_a_newcomer_at_once() -> None:
    proxy = Proxy()
    proxy.front.headroom = Headroom(0)
    assert ClientFactory(proxy.front).buildProtocol(PEER) is None
    assert proxy.refusals.counts == {"descriptors": 1}
    assert proxy.watched() == 0
