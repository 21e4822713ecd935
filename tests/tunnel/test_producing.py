"""Producers over a stream: pushed, pulled, and Twisted's own."""

import io
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from tests.tunnel.pair import Pair, Recorder

WINDOW = limits.INITIAL_WINDOW_BYTES


@implementer(IPushProducer, IPullProducer)
class Producer:
    """Remembers what it was told; ``on_resume`` is what it does then."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.on_resume: Any = lambda: None

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.on_resume()

    def stopProducing(self) -> None:
        self.told.append("stop")


class TestPush:
    def test_is_paused_above_the_bound_and_resumed_below_once_each(self) -> None:
        pair = Pair(stream_window=WINDOW)
        here, there = pair.open()
        there.transport.pauseProducing()
        producer = Producer()
        here.transport.registerProducer(producer, True)
        here.transport.write(b"x" * WINDOW)
        pair.pump()
        assert producer.told == ["pause", "resume"]
        producer.told.clear()
        here.transport.write(b"x" * limits.STREAM_SEND_BYTES)
        assert producer.told == []
        here.transport.write(b"x")
        here.transport.write(b"x")
        pair.pump()
        assert producer.told == ["pause"]
        assert here.transport.write_paused
        there.transport.resumeProducing()
        pair.pump()
        assert producer.told == ["pause", "resume"]

    def test_is_paused_when_it_comes_to_a_full_queue(self) -> None:
        pair = Pair()
        here, _ = pair.open()
        pair.stall()
        here.transport.write(b"x" * (limits.STREAM_SEND_BYTES + 1))
        producer = Producer()
        here.transport.registerProducer(producer, True)
        assert producer.told == ["pause"]

    def test_only_one_at_a_time(self) -> None:
        here, _ = Pair().open()
        here.transport.registerProducer(Producer(), True)
        with pytest.raises(RuntimeError, match="never unregistered"):
            here.transport.registerProducer(Producer(), True)
        here.transport.unregisterProducer()
        here.transport.registerProducer(Producer(), False)

    @pytest.mark.parametrize("end", ["loseConnection", "abortConnection", "loseWriteConnection"])
    def test_one_that_comes_too_late_is_stopped(self, end: str) -> None:
        here, _ = Pair().open()
        getattr(here.transport, end)()
        producer = Producer()
        here.transport.registerProducer(producer, True)
        assert producer.told == ["stop"]

    def test_lose_connection_waits_for_it_and_takes_what_it_still_writes(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.registerProducer(Producer(), True)
        here.transport.write(b"one ")
        here.transport.loseConnection()
        pair.pump()
        assert there.heard == [b"one "]
        here.transport.write(b"two")
        pair.pump()
        here.transport.unregisterProducer()
        pair.pump()
        assert there.data == b"one two"
        assert there.ends == ["end"]

    def test_half_close_waits_for_it_too(self) -> None:
        pair = Pair()
        here, there = pair.open()
        here.transport.registerProducer(Producer(), True)
        here.transport.loseWriteConnection()
        here.transport.write(b"more")
        pair.pump()
        assert there.heard == [b"more"]
        here.transport.unregisterProducer()
        pair.pump()
        assert there.heard == [b"more", "end"]
        there.transport.write(b"answer")
        pair.pump()
        assert here.data == b"answer"

    @pytest.mark.parametrize("end", ["reset", "carrier", "abort"])
    def test_is_stopped_before_the_loss_is_told(self, end: str) -> None:
        pair = Pair()
        here, there = pair.open()
        producer = Producer()
        here.transport.registerProducer(producer, True)
        here.connectionLost = lambda reason: producer.told.append("lost")
        if end == "reset":
            there.transport.abortConnection()
        elif end == "carrier":
            pair.agent.abort("test")
        else:
            here.transport.abortConnection()
        pair.pump()
        assert producer.told == ["stop", "lost"]

    def test_the_peers_end_stops_it_where_the_protocol_knows_no_half_close(self) -> None:
        """As over TCP; a protocol that is its own producer for as long as it lives would keep the stream for ever."""
        pair = Pair(protocol=Recorder)
        here, there = pair.open()
        producer = Producer()
        there.transport.registerProducer(producer, True)
        there.transport.write(b"under way")
        here.transport.loseWriteConnection()
        pair.pump()
        assert producer.told == ["stop"]
        assert there.heard == [error.ConnectionDone]
        assert here.data == b"under way"
        assert here.ends == ["end", error.ConnectionDone]

    def test_what_it_raises_ends_its_stream_only(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()
        here, there = pair.open()
        producer = Producer()
        producer.on_resume = lambda: 1 / 0
        here.transport.registerProducer(producer, True)
        here.transport.write(b"x" * WINDOW)
        pair.pump()
        assert [failure.type for failure in failures] == [ZeroDivisionError]
        failures.clear()
        assert (here.lost, there.lost, other.lost) == (ZeroDivisionError, error.ConnectionLost, None)


class TestPull:
    def test_file_sender(self) -> None:
        """Twisted's own pull producer, through a window that is smaller than the file."""
        pair = Pair(stream_window=WINDOW)
        here, there = pair.open()
        content = bytes(range(256)) * 8000
        done: list[Any] = []
        sender = FileSender()
        sent = sender.beginFileTransfer(io.BytesIO(content), here.transport, None)
        sent.addBoth(done.append)
        here.transport.loseConnection()
        most = 0
        while not done:
            pair.clock.advance(0)
            most = max(most, here.transport.queued)
            pair.pump()
        pair.pump()
        assert there.data == content
        assert there.ends == ["end"]
        assert most <= limits.STREAM_SEND_BYTES + FileSender.CHUNK_SIZE

    def test_is_asked_for_no_more_than_the_peer_takes(self) -> None:
        pair = Pair(stream_window=WINDOW)
        here, there = pair.open()
        there.transport.pauseProducing()
        producer = Producer()
        producer.on_resume = lambda: here.transport.write(b"x" * 16_384)
        here.transport.registerProducer(producer, False)
        pair.pump()
        assert WINDOW <= here.transport.bytes_sent <= WINDOW + limits.STREAM_SEND_BYTES + 16_384
        asked = len(producer.told)
        pair.pass_time(1)
        assert len(producer.told) == asked
        there.transport.resumeProducing()
        there.on_data = lambda data: here.transport.unregisterProducer() if len(there.data) > 2 * WINDOW else None
        pair.pump()
        assert len(producer.told) > asked
        assert there.data == b"x" * here.transport.bytes_sent

    def test_one_that_has_nothing_yet_is_not_asked_again_and_again(self) -> None:
        pair = Pair()
        here, there = pair.open()
        producer = Producer()
        here.transport.registerProducer(producer, False)
        pair.pass_time(1)
        assert producer.told == ["resume"]
        here.transport.write(b"piece")
        pair.pass_time(1)
        assert producer.told == ["resume", "resume"]
        assert there.data == b"piece"

    def test_is_asked_once_a_turn_however_often_it_wrote(self) -> None:
        pair = Pair()
        here, _ = pair.open()
        producer = Producer()
        here.transport.registerProducer(producer, False)
        for _ in range(5):
            here.transport.write(b"piece")
        pair.pump()
        assert producer.told == ["resume", "resume"]

    def test_is_heard_no_more_after_it_was_unregistered(self) -> None:
        pair = Pair()
        here, _ = pair.open()
        producer = Producer()
        here.transport.registerProducer(producer, False)
        here.transport.write(b"piece")
        here.transport.unregisterProducer()
        pair.pump()
        assert producer.told == ["resume"]
