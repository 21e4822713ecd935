"""proxy.clients: what is not served is told so, and nobody is served to the harm of others."""

from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from socksfusion import limits
from socksfusion.descriptors import Headroom
from socksfusion.proxy.clients import ClientFactory
from socksfusion.proxy.opening import Opened
from socksfusion.wire.socks5 import Reply
from tests.proxy.front import ACCEPTED, GREETING, NOWHERE, PEER, REQUEST, ClientTransport, Proxy


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.mark.parametrize(
    ("sent", "answer", "rule"),
    [
        (b"\x05\x01\x01", b"\x05\xff", "socks-method"),
        (GREETING + b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", ACCEPTED + b"\x05\x07\x00" + NOWHERE, "socks-command"),
        (GREETING + b"\x05\x01\x00\x05", ACCEPTED + b"\x05\x08\x00" + NOWHERE, "socks-address"),
        (GREETING + b"\x05\x01\x00\x03\x00\x00\x50", ACCEPTED + b"\x05\x01\x00" + NOWHERE, "socks-host"),
        (GREETING + b"\x05\x01\x00\x03\x01\x00\x00\x50", ACCEPTED + b"\x05\x01\x00" + NOWHERE, "socks-host"),
    ],
    ids=["only GSSAPI", "BIND", "address type", "empty host", "NUL host"],
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
    transport = proxy.connect(b"\x05\x01\x01")
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
    ("garbage", "rule", "name"),
    [
        (b"\x16\x03\x01\x02\x00\x01", "client-tls", "a TLS ClientHello"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "client-protocol", "an SSH banner"),
        (b"\x00\x01", "client-protocol", "no protocol that is served"),
    ],
)
def test_garbage_is_closed_with_one_line_that_names_it(proxy: Proxy, garbage: bytes, rule: str, name: str) -> None:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        transport = proxy.connect(garbage)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert (transport.value(), transport.closed) == (b"", True)
    (event,) = events
    assert (event["rule"], event["peer"]) == (rule, "192.0.2.9:4000")
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
    assert proxy.refusals.counts == {"client-timeout": 1}


def test_the_negotiation_may_be_given_another_time(proxy: Proxy) -> None:
    proxy.front = proxy.make_front(negotiation_seconds=2)
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
    assert proxy.refusals.counts == {"client-crowded": 976}


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


@pytest.mark.parametrize("layered", [False, True])
def test_j1_too_many_open_files_close_a_newcomer_at_once(layered: bool) -> None:
    """What an endpoint with layers would wrap must be a protocol."""
    proxy = Proxy()
    proxy.front.headroom = Headroom(0)
    client = ClientFactory(proxy.front, layered=layered).buildProtocol(PEER)
    if layered:
        transport = ClientTransport()
        transport.protocol = client
        assert client is not None
        client.makeConnection(transport)
        assert (transport.aborted, transport.value()) == (True, b"")
    else:
        assert client is None
    assert proxy.refusals.counts == {"descriptors": 1}
    assert proxy.watched() == 0
