"""The carrier: its handshake, its flushes, and bounds on a peer that never reads."""

from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import error

from socksfusion import limits
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.tls import TLSMachine
from socksfusion.wire.yamux.windows import ProcessBudget
from tests.tunnel.certificates import HOST, agent_side
from tests.tunnel.pair import Pair
from tests.wire.yamux import frames

LOST, ABORTED = error.ConnectionLost, error.ConnectionAborted


class TestHandshake:
    def test_both_ends_are_told_once(self) -> None:
        pair = Pair(piece=1)
        assert (pair.proxy_owner.handshakes, pair.agent_owner.handshakes) == (1, 1)
        assert pair.proxy_end.no_delay
        assert pair.proxy.peer == "198.51.100.7:40000"
        assert pair.agent.peer == "192.0.2.1:443"
        assert pair.proxy_end.bufferSize == pair.agent_end.bufferSize == limits.CARRIER_READ_BYTES

    def test_the_agent_says_nothing_between_its_finished_and_the_proxys_first_byte(self) -> None:
        """What it had sent would turn the Proxy's alert into a reset."""
        pair = Pair(connect=False)
        pair.proxy.makeConnection(pair.proxy_end)  # type: ignore[no-untyped-call]
        pair.agent.makeConnection(pair.agent_end)  # type: ignore[no-untyped-call]
        pair.agent_end.move(1 << 20)
        pair.proxy_end.move(1 << 20)
        pair.proxy_end.move(1 << 20)
        pair.agent_end.move(1 << 20)
        assert pair.agent.handshaken
        assert not pair.proxy.handshaken
        pair.clock.advance(0)
        assert not pair.agent.session.wants_to_send

    @pytest.mark.parametrize(
        ("context", "reason"),
        [
            (lambda: agent_side(trusts=1), "certificate verify failed"),
            (lambda: agent_side(number=1, trusts=0), "alert"),
            (lambda: nameless_context(), "alert"),
        ],
        ids=["wrong CA at the agent", "another installation's agent", "no certificate"],
    )
    def test_a_refusal_is_known_at_both_ends(self, context: Any, reason: str) -> None:
        pair = Pair(agent_context=context())
        pair.pass_time(limits.REFUSAL_LINGER_SECONDS)
        for carrier, owner in ((pair.proxy, pair.proxy_owner), (pair.agent, pair.agent_owner)):
            assert carrier.gone
            assert carrier.tls_failure is not None
            assert len(owner.losses) == 1
            assert owner.losses[0].startswith("TLS: ")
        assert pair.agent.tls_failure is not None
        assert any(reason in text for text in pair.agent.tls_failure.reasons)
        assert pair.proxy_owner.handshakes == 0
        assert not pair.clock.getDelayedCalls()

    def test_garbage_ends_it_before_the_session_sees_a_byte(self) -> None:
        pair = Pair(connect=False)
        pair.proxy.makeConnection(pair.proxy_end)  # type: ignore[no-untyped-call]
        pair.proxy.dataReceived(b"GET / HTTP/1.1\r\nHost: proxy\r\n\r\n")
        assert pair.proxy.closing
        assert pair.proxy.tls_failure is not None
        assert pair.proxy.tls_failure.reasons == ("http request",)

    def test_a6_a_handshake_without_end_is_cut(self) -> None:
        """OpenSSL keeps up to 128 KiB of a ClientHello, beside what it was given; a thousand strangers may come."""
        pair = Pair(connect=False)
        pair.proxy.makeConnection(pair.proxy_end)  # type: ignore[no-untyped-call]
        hello = b"\x01" + (131_000).to_bytes(3, "big") + b"\x03\x03"
        said = 0
        while not pair.proxy_end.aborted:
            fragment = hello + bytes(1024 - len(hello))
            pair.proxy.dataReceived(b"\x16\x03\x01\x04\x00" + fragment)
            hello, said = b"", said + 1024
        assert said <= limits.HANDSHAKE_BYTES + 1024
        pair.pump()
        assert pair.proxy_owner.losses == ["no TLS handshake within 16384 bytes"]
        assert pair.proxy_owner.handshakes == 0

    def test_who_is_cut_off_is_not_listened_to_in_the_same_read(self) -> None:
        """A SYN behind the Finished of a peer that the owner sends away."""
        pair = Pair(connect=False)
        pair.proxy_owner.on_handshake = lambda carrier: carrier.abort("not you")
        pair.proxy.makeConnection(pair.proxy_end)  # type: ignore[no-untyped-call]
        client = TLSMachine(agent_side(), server=False, server_name=HOST)
        pair.proxy.dataReceived(client.data_to_send())
        client.receive_data(bytes(pair.proxy_end._out))
        client.send(frames.update(2, 0, frames.SYN))
        pair.proxy.dataReceived(client.data_to_send())
        pair.pump()
        assert pair.proxy_owner.losses == ["not you"]
        assert not pair.refusals.counts


def nameless_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_alpn_protos([b"socksfusion/1"])
    return context


class TestSending:
    def test_what_is_written_in_one_turn_leaves_in_one_write(self) -> None:
        pair = Pair()
        streams = [pair.open()[0].transport for _ in range(40)]
        before = pair.proxy_end.writes
        for stream in streams:
            stream.write(b"x" * 1000)
            stream.write(b"y" * 1000)
        assert pair.proxy_end.writes == before
        pair.clock.advance(0)
        assert pair.proxy_end.writes == before + 1
        pair.pump()
        assert all(protocol.data == b"x" * 1000 + b"y" * 1000 for protocol in pair.agent_owner.protocols)

    def test_little_is_queued_in_the_transport(self) -> None:
        pair = Pair(capacity=1000)
        streams = [pair.open()[0].transport for _ in range(8)]
        for stream in streams:
            stream.write(b"x" * limits.INITIAL_WINDOW_BYTES)
        pair.clock.advance(0)
        assert len(pair.proxy_end._out) <= 2 * limits.CARRIER_FLUSH_BYTES + 64 * 1024
        pair.pump()
        assert sum(len(protocol.data) for protocol in pair.agent_owner.protocols) == 8 * limits.INITIAL_WINDOW_BYTES

    def test_a_ping_does_not_wait_behind_bulk(self) -> None:
        pair = Pair(capacity=64 * 1024)
        streams = [pair.open() for _ in range(16)]
        for here, _ in streams:
            here.transport.write(b"x" * limits.INITIAL_WINDOW_BYTES)
        pair.clock.advance(0)
        answers: list[bool] = []
        before = pair.agent.bytes_received
        pair.proxy.check(1000).addCallback(answers.append)
        while not answers:
            pair.clock.advance(0)
            pair.proxy_end.move(64 * 1024)
            pair.agent_end.move(64 * 1024)
        # one flush under way, one frame more than fits, and what the transport and this loop hold
        waiting_before_it = 2 * limits.CARRIER_FLUSH_BYTES + limits.FRAME_BODY_BYTES + 2 * 64 * 1024
        assert pair.agent.bytes_received - before <= waiting_before_it

    def test_an_update_that_has_become_pointless_is_no_empty_write(self) -> None:
        """OpenSSL fails at an empty one."""
        pair = Pair()
        here, there = pair.open()
        here.transport.loseWriteConnection()
        pair.pump()
        there.transport.write(b"x" * limits.INITIAL_WINDOW_BYTES)
        there.transport.loseConnection()
        pair.pump()
        assert len(here.data) == limits.INITIAL_WINDOW_BYTES
        assert not pair.proxy.closing

    def test_both_ways_at_once_through_tiny_buffers(self) -> None:
        """Row B3: reading the carrier never waits for writing it."""
        pair = Pair(capacity=700, piece=700, stream_window=limits.INITIAL_WINDOW_BYTES)
        pair.proxy_end.bufferSize = pair.agent_end.bufferSize = 700
        streams = [pair.open() for _ in range(20)]
        size = limits.INITIAL_WINDOW_BYTES + 1000
        for here, there in streams:
            here.transport.write(b"x" * size)
            there.transport.write(b"y" * size)
        pair.pump()
        assert all(len(here.data) == len(there.data) == size for here, there in streams)


def test_pings_are_not_hoarded_for_a_peer_that_never_reads() -> None:
    """Row B3: 9,000 pings are within the peer's rights, their answers are bounded."""
    pair = Pair()
    pair.proxy_end.stalled = True
    for _ in range(90):
        for _ in range(100):
            pair.agent.ping()
        pair.pump()
    assert len(pair.proxy.session.pings.replies) <= limits.PENDING_PING_REPLIES
    assert len(pair.proxy_end._out) <= limits.CARRIER_FLUSH_BYTES + 64 * 1024
    assert pair.refusals.counts == {}


def test_the_stream_with_the_most_unread_may_belong_to_another_carrier() -> None:
    """Row B6: its reset leaves by its own carrier."""
    budget = ProcessBudget(unread=300_000)
    hoarder, other = Pair(budget=budget), Pair(budget=budget)
    here, there = hoarder.open()
    there.transport.pauseProducing()
    here.transport.write(b"x" * 200_000)
    hoarder.pump()
    sender, reader = other.open()
    reader.transport.pauseProducing()
    sender.transport.write(b"y" * 150_000)
    other.pump()
    assert there.heard == [ABORTED]
    hoarder.pump()
    assert here.heard == [LOST]
    assert other.refusals.counts == {"stream-unread": 1}
    reader.transport.resumeProducing()
    other.pump()
    assert reader.data == b"y" * 150_000
    assert budget.unread == 0


def test_a_carrier_is_described_for_others() -> None:
    pair = Pair()
    here, _ = pair.open()
    here.transport.write(b"x" * 1000)
    pair.pump()
    assert isinstance(pair.proxy, Carrier)
    assert pair.proxy.bytes_sent == pair.agent.bytes_received > 1000
