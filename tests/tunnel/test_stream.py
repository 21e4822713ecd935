"""A stream as a transport: what any Twisted transport promises."""

from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ITransport
from zope.interface.verify import verifyObject

from socksfusion import limits
from tests.tunnel.pair import Pair, Recorder

WINDOW = limits.INITIAL_WINDOW_BYTES
DONE, LOST, ABORTED = error.ConnectionDone, error.ConnectionLost, error.ConnectionAborted


class TestInterface:
    def test_provides_what_it_says(self) -> None:
        transport = Pair().start()
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, transport)
        verifyObject(IAddress, transport.getPeer())
        verifyObject(IAddress, transport.getHost())

    def test_addresses_name_the_carrier_and_the_stream(self) -> None:
        here, there = Pair().open()
        assert (here.transport.getPeer().carrier, here.transport.getPeer().stream) == ("198.51.100.7:40000", 1)
        assert there.transport.getPeer().carrier == "192.0.2.1:443"
        assert here.transport.getPeer().stream == there.transport.getPeer().stream == 1

    def test_write_and_write_sequence(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.write(b"one")
        here.transport.write(b"")
        here.transport.writeSequence([b" two", b" three"])
        pair.pump()
        assert there.data == b"one two three"
        assert here.transport.bytes_sent == there.transport.bytes_received == 13

    def test_text_is_the_writers_mistake_and_harms_nobody_else(self) -> None:
        pair = Pair()
        here, there = pair.open()
        with pytest.raises(TypeError, match="bytes, not str"):
            here.transport.write("text")
        here.transport.write(b"bytes")
        pair.pump()
        assert there.data == b"bytes"

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_what_may_change_later_is_copied(self, kind: Any) -> None:
        pair = Pair()
        here, there = pair.open()
        data = bytearray(b"before")
        here.transport.write(kind(data))
        data[:] = b"after!"
        pair.pump()
        assert there.data == b"before"

    def test_lose_connection_twice_is_harmless(self) -> None:
        pair = Pair(protocol=Recorder)
        here, there = pair.open()
        here.transport.write(b"last")
        here.transport.loseConnection()
        here.transport.loseConnection()
        pair.pump()
        here.transport.loseConnection()
        pair.pump()
        assert there.heard == [b"last", DONE]
        assert here.heard == [DONE]

    @pytest.mark.parametrize("end", ["loseConnection", "loseWriteConnection", "abortConnection"])
    def test_write_after_close_is_ignored(self, end: str) -> None:
        pair = Pair()
        here, there = pair.open()
        getattr(here.transport, end)()
        here.transport.write(b"too late")
        here.transport.writeSequence([b"too late"])
        pair.pump()
        assert there.data == b""

    def test_abort_resets_and_drops_what_is_queued(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.write(b"x" * (WINDOW + 1))
        pair.pump()
        here.transport.write(b"dropped")
        here.transport.abortConnection()
        here.transport.abortConnection()
        assert here.heard == [], "told from within its own call"
        pair.pump()
        assert here.heard == [ABORTED]
        assert there.ends == [LOST]
        assert b"dropped" not in there.data
        assert not pair.proxy.session.streams
        assert not pair.agent.session.streams

    def test_a_reset_in_order_comes_after_the_data(self) -> None:
        pair = Pair()
        here, there = pair.open()
        there.transport.pauseProducing()
        here.transport.write(b"x" * 2 * WINDOW)
        here.transport.reset_after_data()
        pair.pump()
        assert here.heard == [ABORTED]
        there.transport.resumeProducing()
        pair.pump()
        assert len(there.data) == 2 * WINDOW
        assert there.ends == [LOST]

    def test_data_after_lose_connection_is_answered_by_reset(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.loseConnection()
        pair.pump()
        assert there.heard == ["end"]
        there.transport.write(b"for nobody")
        pair.pump()
        assert there.heard == ["end", LOST]
        assert here.heard == [ABORTED]

    def test_nothing_is_delivered_after_lose_connection(self) -> None:
        """Also of the same read, and what a paused protocol had not taken."""
        pair = Pair()
        here, there = pair.open()
        there.on_data = lambda data: there.transport.loseConnection()
        between = pair.open()[0].transport
        for _ in range(3):
            here.transport.write(b"x" * 20_000)
            between.write(b"y")
            pair.clock.advance(0)
        pair.pump()
        assert there.heard[0] == b"x" * 20_000
        assert len(there.heard) == 1
        assert here.ends == ["end"]

    def test_nothing_is_delivered_after_abort_within_one_read(self) -> None:
        pair = Pair()
        here, there = pair.open()
        there.on_data = lambda data: there.transport.abortConnection()
        here.transport.write(b"x" * 60_000)
        here.transport.loseConnection()
        pair.pump()
        assert len([item for item in there.heard if isinstance(item, bytes)]) == 1
        assert there.ends == [ABORTED]

    def test_resume_from_within_a_call_does_not_call_back_into_it(self) -> None:
        pair = Pair()
        here, there = pair.open()
        there.transport.pauseProducing()
        here.transport.write(b"data")
        here.transport.abortConnection()
        here.transport.loseConnection()
        pair.pump()
        assert there.heard == []
        there.transport.resumeProducing()
        assert there.heard == []
        pair.pump()
        assert there.heard == [LOST]

    def test_lose_connection_over_a_half_closeable_is_heard_once_the_peer_ends(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.loseConnection()
        pair.pump()
        assert (here.heard, there.heard) == ([], ["end"])
        there.transport.loseConnection()
        pair.pump()
        assert (here.heard, there.heard) == ([DONE], ["end", DONE])

    def test_half_close_lets_the_answer_come(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.write(b"question")
        here.transport.loseWriteConnection()
        pair.pump()
        assert there.heard == [b"question", "end"]
        there.transport.write(b"a" * 1_000_000)
        there.transport.loseConnection()
        pair.pump()
        assert here.data == b"a" * 1_000_000
        assert here.ends == ["end", DONE]
        assert there.ends == ["end", DONE]

    def test_the_end_needs_no_window(self) -> None:
        pair = Pair()
        here, there = pair.open()
        there.transport.pauseProducing()
        here.transport.write(b"x" * WINDOW)
        here.transport.loseWriteConnection()
        pair.pump()
        assert there.transport._stream.receiving.name == "ENDED"
