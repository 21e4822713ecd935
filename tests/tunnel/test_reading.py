"""A stream's reading direction: pauses, credit, and what one protocol leaves to the next."""

import pytest
from twisted.internet import error

from socksfusion import limits
from socksfusion.tunnel.stream import StreamTransport
from tests.tunnel.pair import HalfCloseable, Pair

WINDOW = limits.INITIAL_WINDOW_BYTES
LOST = error.ConnectionLost


class TestPausedReader:
    def test_credit_is_given_back_when_data_is_taken_not_when_it_comes(self) -> None:
        pair = Pair(stream_window=WINDOW)
        here, there = pair.open()
        there.transport.pauseProducing()
        here.transport.write(b"x" * 3 * WINDOW)
        pair.pump()
        assert there.data == b""
        assert there.transport.unread == WINDOW
        assert here.transport._stream.credit == 0
        assert here.transport.queued == 2 * WINDOW
        there.transport.resumeProducing()
        pair.pump()
        assert len(there.data) == 3 * WINDOW
        assert (here.transport.queued, there.transport.unread) == (0, 0)

    def test_a_pause_within_data_received_stops_what_came_with_it(self) -> None:
        pair = Pair()
        here, there = pair.open()
        there.on_data = lambda data: there.transport.pauseProducing()
        between = pair.open()[0].transport
        for _ in range(3):
            here.transport.write(b"x" * 20_000)
            between.write(b"y")
            pair.clock.advance(0)
        pair.pump()
        assert len(there.data) == 20_000
        assert there.transport.unread == 40_000
        there.on_data = lambda data: None
        there.transport.resumeProducing()
        pair.pump()
        assert there.data == b"x" * 60_000

    def test_one_paused_stream_stops_no_other(self) -> None:
        pair = Pair()
        slow, slow_reader = pair.open()
        quick, quick_reader = pair.open()
        slow_reader.transport.pauseProducing()
        slow.transport.write(b"x" * 10 * WINDOW)
        quick.transport.write(b"y" * 10 * WINDOW)
        pair.pump()
        assert len(quick_reader.data) == 10 * WINDOW
        assert slow_reader.data == b""

    def test_lose_connection_while_data_and_a_reset_wait(self) -> None:
        pair = Pair()
        here, there = pair.open()
        there.transport.pauseProducing()
        here.transport.write(b"unread")
        pair.pump()
        here.transport.abortConnection()
        pair.pump()
        assert there.transport.reset_waiting
        there.transport.loseConnection()
        assert there.heard == []
        pair.pump()
        assert there.heard == [LOST]

    def test_unread_data_of_an_aborted_stream_burdens_nobody(self) -> None:
        pair = Pair()
        here, there = pair.open()
        there.transport.pauseProducing()
        here.transport.write(b"x" * 100_000)
        pair.pump()
        assert pair.agent.session.budget.unread == 100_000
        there.transport.abortConnection()
        pair.pump()
        assert pair.agent.session.budget.unread == 0


class TestPutBack:
    """One protocol reads a head and gives the rest to the next."""

    def test_the_rest_goes_to_the_next_protocol_once(self) -> None:
        pair = Pair(stream_window=WINDOW)
        here, there = pair.open()
        after = HalfCloseable()

        def split(data: bytes) -> None:
            there.transport.protocol = after
            there.transport.put_back(data[4:])

        there.on_data = split
        here.transport.write(b"headrest")
        here.transport.write(b" and more")
        pair.pump()
        assert there.data == b"headrest and more"
        assert after.data == b"rest and more"
        assert pair.agent.session.budget.unread == 0

    @pytest.mark.parametrize("paused", [False, True])
    def test_credit_is_not_given_back_twice(self, paused: bool) -> None:
        pair = Pair(stream_window=WINDOW)
        here, there = pair.open()
        first, after = there, HalfCloseable()
        here.transport.write(b"x" * WINDOW)
        pair.pump()
        transport: StreamTransport = first.transport
        transport.protocol = after
        if paused:
            transport.pauseProducing()
        transport.put_back(first.data)
        assert transport.unread == (WINDOW if paused else 0)
        here.transport.write(b"y" * 10)
        pair.pump()
        transport.resumeProducing()
        pair.pump()
        assert after.data == b"x" * WINDOW + b"y" * 10
        assert here.transport._stream.credit <= WINDOW

    def test_the_end_is_told_again_after_the_data(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.write(b"early")
        here.transport.loseWriteConnection()
        pair.pump()
        assert there.heard == [b"early", "end"]
        after = HalfCloseable()
        there.transport.protocol = after
        there.transport.pauseProducing()
        there.transport.put_back(b"early", ended=True)
        assert after.heard == []
        there.transport.resumeProducing()
        pair.pump()
        assert after.heard == [b"early", "end"]
