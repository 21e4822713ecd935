"""Every way in which a carrier ends: in order, refused, aborted, broken, and how long each may take."""

from twisted.internet import error

from socksfusion import limits
from socksfusion.tunnel.stream import CarrierLost
from tests.tunnel.pair import Pair
from tests.wire.yamux import frames

LOST = error.ConnectionLost


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
        assert pair.agent_owner.losses == ["the other end left in order"]
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

    def test_a_broken_session_is_the_reason_though_a_stream_ends_the_carrier_when_it_is_cut(self) -> None:
        """As the control stream does. The peer keeps the time that a refusal has (GA1: one second)."""
        pair = Pair()
        _, there = pair.open()
        there.connectionLost = lambda reason: pair.agent.end("the control stream ended")
        pair.proxy_end.reading = False
        pair.proxy.tls.send(b"\x07" + b"\0" * 11)
        pair.proxy._flush_tls()
        pair.pass_time(limits.REFUSAL_LINGER_SECONDS + 0.25)
        assert pair.agent_owner.losses == ["protocol error: version 7"]
        pair.proxy_end.reading = True
        pair.pump()
        assert pair.proxy_owner.losses == ["the other end went away with code 1"]

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
