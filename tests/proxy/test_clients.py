"""proxy.clients: negotiation, dial and hand-over of a Client, over a transport in memory and a Clock."""

from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from socksfusion import limits
from socksfusion.proxy.access import Access
from socksfusion.proxy.clients import ClientProtocol
from socksfusion.proxy.opening import Opened
from socksfusion.wire.socks5 import Reply
from tests.proxy.front import ACCEPTED, GREETING, NOWHERE, PEER, REQUEST, STREAM, Proxy


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


def test_a_client_is_half_closeable(proxy: Proxy) -> None:
    verifyObject(IHalfCloseableProtocol, ClientProtocol(proxy.front, Access(peer=""), PEER))


@pytest.mark.parametrize("sent", [(GREETING, REQUEST), (GREETING + REQUEST,)], ids=["in turn", "at once"])
def test_success_is_told_only_after_the_router_did(proxy: Proxy, sent: tuple[bytes, ...]) -> None:
    transport = proxy.connect(*sent, agent="branch")
    assert proxy.router.opens == [("example.com", 443, Access("192.0.2.9:4000", agent="branch"))]
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
    assert proxy.router.opens == [("example.com", 443, Access(shown))]


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
