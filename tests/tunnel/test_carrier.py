"""The carrier: handshake, flushes, openings, checks, and every way to end."""

from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import error
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.stream import CarrierLost, StreamTransport
from socksfusion.tunnel.tls import TLSMachine
from socksfusion.wire.yamux.frames import LAST_STREAM_ID
from socksfusion.wire.yamux.windows import ProcessBudget
from tests.tunnel.certificates import HOST, agent_side
from tests.tunnel.pair import Pair
from tests.wire.yamux import frames

LOST = error.ConnectionLost


class TestHandshake:
    def test_both_ends_are_told_once(self) -> None:
        pair = Pair(piece=1)
        assert (pair.proxy_owner.handshakes, pair.agent_owner.handshakes) == (1, 1)
        assert pair.proxy_end.no_delay
        assert pair.proxy.peer == "198.51.100.7:40000"
        assert pair.agent.peer == "192.0.2.1:443"

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
        waiting_before_it = 2 * limits.CARRIER_FLUSH_BYTES + 2 * 64 * 1024
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


class TestOpenings:
    def opened(self, pair: Pair, count: int) -> list[tuple[int, StreamTransport | None]]:
        told: list[tuple[int, StreamTransport | None]] = []
        for number in range(count):

            def opened(transport: StreamTransport | None, number: int = number) -> None:
                told.append((number, transport))
                if transport is not None:
                    transport.write(b"hello")

            pair.proxy.open_stream(opened)
        return told

    def test_above_256_unacknowledged_they_wait_in_order(self) -> None:
        pair = Pair()
        pair.stall()
        told = self.opened(pair, 300)
        pair.pump()
        assert [number for number, _ in told] == list(range(256))
        pair.flow()
        pair.pump()
        assert [number for number, _ in told] == list(range(300))
        assert all(transport is not None and transport.number == 2 * number + 1 for number, transport in told)

    def test_one_is_withdrawn(self) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        told: list[Any] = []
        pair.proxy.open_stream(lambda transport: told.append("first"))
        second = lambda transport: told.append("second")  # noqa: E731
        pair.proxy.open_stream(second)
        pair.proxy.open_stream(lambda transport: told.append("third"))
        pair.proxy.withdraw(second)
        pair.proxy.withdraw(second)
        pair.flow()
        pair.pump()
        assert told == ["first", "third"]

    def test_a_reset_of_one_makes_room_for_the_next(self) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        told = self.opened(pair, 2)
        transport = told[0][1]
        assert transport is not None
        transport.abortConnection()
        pair.pump()
        assert [number for number, _ in told] == [0, 1]

    def test_a_reader_that_pauses_at_its_end_keeps_nobody_waiting(self) -> None:
        pair = Pair(max_streams=1)
        here, there = pair.open()
        told: list[Any] = []
        here.transport.pauseProducing()
        there.transport.write(b"unread")
        there.transport.loseConnection()
        pair.pump()
        pair.proxy.open_stream(told.append)
        assert told == []
        here.transport.loseWriteConnection()
        pair.pump()
        assert len(told) == 1
        assert here.heard == []

    @pytest.mark.parametrize("how", ["abort", "end", "loss", "refusal", "peer goes away", "peer's fault"])
    def test_all_are_told_at_once_when_the_carrier_takes_no_more(self, how: str) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        told = self.opened(pair, 3)
        if how == "abort":
            pair.proxy.abort("test")
        elif how == "end":
            pair.proxy.end("test")
        elif how == "loss":
            pair.proxy_end.lose(Failure(LOST()))
        elif how == "refusal":
            assert told[0][1] is not None
            pair.proxy.refuse("test", keep=told[0][1])
        elif how == "peer goes away":
            pair.flow()
            pair.agent.session.go_away(0)
            pair.agent.flush_soon()
            pair.proxy_end.stalled = True
            pair.pump()
        else:
            pair.agent.tls.send(b"\x01" + b"\0" * 11)
            pair.agent._flush_tls()
            pair.agent_end.stalled = False
            pair.pump()
        assert told[1:] == [(1, None), (2, None)]
        assert not pair.proxy.takes_streams
        later: list[Any] = []
        pair.proxy.open_stream(later.append)
        assert later == [None]

    def test_one_that_raises_hinders_no_other(self, failures: list[Failure]) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        self.opened(pair, 1)
        pair.proxy.open_stream(lambda transport: 1 / 0)  # type: ignore[arg-type, return-value]
        told = self.opened(pair, 1)
        pair.flow()
        pair.pump()
        assert len(told) == 1
        assert [failure.type for failure in failures] == [ZeroDivisionError]
        failures.clear()
        assert not pair.proxy.closing

    def test_a_session_whose_ids_are_used_up_ends_for_a_new_one(self) -> None:
        """Row B9: long before an id would be used twice."""
        pair = Pair()
        pair.proxy.session._next_id = LAST_STREAM_ID
        told: list[Any] = []
        pair.proxy.open_stream(told.append)
        assert told == [None]
        pair.pump()
        assert pair.proxy_owner.losses == ["the numbers of its streams are used up"]


class TestCheck:
    def test_a_living_peer_answers(self) -> None:
        pair = Pair()
        answers: list[bool] = []
        pair.proxy.check(3).addCallback(answers.append)
        assert answers == []
        pair.pump()
        assert answers == [True]
        assert not pair.clock.getDelayedCalls()

    def test_a_late_answer_is_none(self) -> None:
        pair = Pair()
        pair.stall()
        answers: list[bool] = []
        pair.proxy.check(3).addCallback(answers.append)
        pair.pass_time(2.75)
        assert answers == []
        pair.pass_time(0.25)
        assert answers == [False]
        pair.flow()
        pair.pump()
        assert answers == [False]
        assert not pair.proxy.closing

    def test_a_loss_is_an_answer(self) -> None:
        pair = Pair()
        pair.stall()
        answers: list[bool] = []
        pair.proxy.check(3).addCallback(answers.append)
        pair.proxy.abort("test")
        pair.pump()
        assert answers == [False]
        assert not pair.clock.getDelayedCalls()

    def test_one_that_is_ending_is_not_alive(self) -> None:
        pair = Pair()
        pair.stall()
        pair.proxy.end("test")
        answers: list[bool] = []
        pair.proxy.check(3).addCallback(answers.append)
        assert answers == [False]
        pair.proxy.ping()


class TestEnds:
    def test_in_order_what_is_queued_arrives_first(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.write(b"x" * 200_000)
        pair.proxy.end("enough")
        pair.proxy.end("twice")
        pair.pump()
        assert there.data == b"x" * 200_000
        assert there.ends == [CarrierLost]
        assert here.ends == [CarrierLost]
        assert pair.proxy_owner.losses == ["enough"]
        assert pair.agent_owner.losses == ["the other end went away with code 0"]
        assert not pair.clock.getDelayedCalls()

    def test_in_order_also_more_than_the_transport_takes_at_once(self) -> None:
        pair = Pair(capacity=1000)
        streams = [pair.open() for _ in range(16)]
        for here, _ in streams:
            here.transport.write(b"x" * 200_000)
        pair.proxy.end("enough")
        pair.pump()
        assert [len(there.data) for _, there in streams] == [200_000] * 16

    def test_in_order_takes_five_seconds_at_the_most(self) -> None:
        """Row B12."""
        pair = Pair()
        pair.open()
        pair.stall()
        pair.proxy.end("enough")
        pair.pass_time(limits.SESSION_CLOSE_SECONDS - 0.25)
        assert pair.proxy_owner.losses == []
        pair.pass_time(0.25)
        assert pair.proxy_owner.losses == ["enough"]
        assert not pair.clock.getDelayedCalls()

    def test_a_refusal_arrives_before_the_end_and_cuts_the_others_at_once(self) -> None:
        pair = Pair()
        control, heard = pair.open()
        here, there = pair.open()
        pair.agent_end.stalled = True
        control.transport.write(b"this is why")
        pair.proxy.refuse("refused", keep=control.transport)
        assert here.heard == [CarrierLost]
        pair.pump()
        assert heard.data == b"this is why"
        assert there.ends == [LOST]
        pair.pass_time(limits.REFUSAL_LINGER_SECONDS)
        assert pair.proxy_owner.losses == ["refused"]
        assert heard.lost is CarrierLost

    def test_reading_goes_on_after_a_refusal_for_a_moment_only(self) -> None:
        pair = Pair()
        control, _ = pair.open()
        pair.agent_end.reading = False
        pair.proxy.refuse("refused", keep=control.transport)
        pair.pass_time(limits.REFUSAL_LINGER_SECONDS - 0.25)
        assert not pair.proxy.gone
        pair.pass_time(0.25)
        assert pair.proxy.gone

    def test_abort_cuts_now(self) -> None:
        pair = Pair()
        here, there = pair.open()
        pair.proxy.abort("now")
        pair.proxy.abort("twice")
        pair.pump()
        assert here.heard == there.heard == [CarrierLost]
        assert pair.proxy_owner.losses == ["now"]
        assert pair.agent_owner.losses == [str(LOST())]

    def test_a_close_without_close_notify_is_a_loss_too(self) -> None:
        pair = Pair()
        _, there = pair.open()
        pair.proxy_end.loseConnection()
        pair.proxy_end.unregisterProducer()
        pair.pump()
        assert there.heard == [CarrierLost]
        assert pair.agent_owner.losses == ["the connection was closed"]

    def test_a_good_record_before_a_bad_one_is_not_lost(self) -> None:
        pair = Pair()
        here, there = pair.open()
        pair.agent_end.reading = False
        here.transport.write(b"good")
        pair.pump()
        here.transport.write(b"bad")
        pair.pump()
        pair.agent_end._inbox[-1] ^= 1
        pair.agent_end.reading = True
        pair.pump()
        assert there.heard == [b"good", CarrierLost]
        assert here.heard == [CarrierLost]
        assert pair.agent.tls_failure is not None
        assert pair.proxy.tls_failure is not None, "the alert did not arrive"

    def test_a_broken_session_tells_the_peer_and_its_streams(self) -> None:
        pair = Pair()
        here, there = pair.open()
        pair.proxy.tls.send(frames.data(1, b"last") + b"\x07" + b"\0" * 11)
        pair.proxy._flush_tls()
        pair.pump()
        assert there.heard == [b"last", CarrierLost]
        assert here.heard == [CarrierLost]
        assert pair.refusals.counts["session"] == 1
        assert pair.proxy_owner.losses == ["the other end went away with code 1"]
        pair.pass_time(limits.REFUSAL_LINGER_SECONDS)
        assert pair.agent_owner.losses[0].startswith("protocol error: ")
        assert not pair.clock.getDelayedCalls()

    def test_a_fault_above_the_session_is_counted_and_told(self) -> None:
        pair = Pair()
        pair.open()
        pair.proxy.fail("hello is no hello")
        pair.pass_time(limits.REFUSAL_LINGER_SECONDS)
        assert pair.proxy_owner.losses == ["protocol error: hello is no hello"]
        assert pair.agent_owner.losses == ["the other end went away with code 1"]
        assert pair.refusals.counts["session"] == 1

    def test_a_stream_hears_its_data_before_its_end_though_another_ends_the_carrier_in_the_same_read(self) -> None:
        pair = Pair()
        here, there = pair.open()
        other, ender = pair.open()
        ender.on_data = lambda data: pair.agent.end("enough")
        there.transport.loseWriteConnection()
        pair.pump()
        other.transport.write(b"end it")
        here.transport.write(b"data")
        here.transport.loseWriteConnection()
        pair.pump()
        assert there.heard == [b"data", "end", error.ConnectionDone]

    def test_streams_that_end_within_an_end_do_not_end_it_twice(self) -> None:
        pair = Pair()
        here, there = pair.open()
        there.connectionLost = lambda reason: pair.agent.end("once more")
        here.transport.loseConnection()
        there.transport.loseConnection()
        pair.agent.end("once")
        pair.pump()
        assert pair.agent_owner.losses == ["once"]
        assert not pair.clock.getDelayedCalls()


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
    assert there.heard == [LOST]
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
