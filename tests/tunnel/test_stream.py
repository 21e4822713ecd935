"""A stream as a transport: what any Twisted transport promises, and what is told in every order of ends."""

import itertools
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from socksfusion import limits
from socksfusion.tunnel.stream import CarrierLost, StreamTransport
from tests.tunnel.pair import HalfCloseable, Pair, Recorder

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
        assert here.transport.number == there.transport.number == 1

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
        assert here.heard == [LOST]

    def test_nothing_is_delivered_after_lose_connection(self) -> None:
        """Also of the same read, and what a paused protocol had not taken."""
        pair = Pair()
        here, there = pair.open()
        there.on_data = lambda data: there.transport.loseConnection()
        for _ in range(3):
            here.transport.write(b"x" * 20_000)
        pair.pump()
        assert len(there.heard[0]) < 20_000
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
        here.transport.write(b"x" * 60_000)
        pair.pump()
        first = len(there.data)
        assert 0 < first < 60_000
        assert there.transport.unread == 60_000 - first
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


class TestStrayExceptions:
    """Row J3: an exception ends its own stream only."""

    def check_only_this_one_died(self, pair: Pair, broken: Recorder, other: Recorder, failures: list[Failure]) -> None:
        pair.pump()
        assert broken.lost in (ZeroDivisionError, error.ConnectionLost)
        assert [failure.type for failure in failures] == [ZeroDivisionError]
        failures.clear()
        assert other.lost is None
        assert not pair.agent.closing
        assert not pair.proxy.closing

    def test_in_data_received(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()
        here, there = pair.open()
        there.on_data = lambda data: 1 / 0
        here.transport.write(b"x" * 40_000)
        pair.pump()
        assert there.lost is ZeroDivisionError
        assert here.lost is LOST
        self.check_only_this_one_died(pair, there, other, failures)

    def test_in_read_connection_lost(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()
        here, there = pair.open()
        there.readConnectionLost = lambda: 1 / 0
        here.transport.loseWriteConnection()
        self.check_only_this_one_died(pair, there, other, failures)
        assert here.lost is LOST

    def test_in_connection_lost(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()
        here, there = pair.open()
        there.connectionLost = lambda reason: 1 / 0
        here.transport.abortConnection()
        pair.pump()
        assert [failure.type for failure in failures] == [ZeroDivisionError]
        failures.clear()
        assert other.lost is None
        assert not pair.agent.closing

    def test_when_the_carrier_is_lost_everybody_hears(self, failures: list[Failure]) -> None:
        pair = Pair()
        streams = [pair.open()[1] for _ in range(3)]
        streams[0].connectionLost = lambda reason: 1 / 0
        pair.agent.abort("test")
        pair.pump()
        assert [stream.lost for stream in streams[1:]] == [CarrierLost] * 2
        assert pair.agent_owner.losses == ["test"]
        failures.clear()

    def test_in_make_connection(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()

        class Broken(Recorder):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        pair.agent_owner.protocol = Broken
        here, there = pair.open()
        assert here.lost is LOST
        self.check_only_this_one_died(pair, there, other, failures)

    def test_in_building_a_protocol(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()

        def broken() -> Any:
            raise ZeroDivisionError

        pair.agent_owner.protocol = broken
        here, _ = pair.open()
        self.check_only_this_one_died(pair, here, other, failures)


# -- every order of ends -------------------------------------------------------------------------------------------

ACTIONS = ("half", "lose", "abort", "peer ends", "peer resets", "carrier lost")


class Ends:
    """What the documentation says that one protocol hears, played beside the real stream."""

    def __init__(self, paused: bool) -> None:
        self.paused = paused
        self.heard: list[Any] = []
        self.unread = [b"data"] if paused else []
        if not paused:
            self.heard.append(b"data")
        self.written = self.ended = self.end_told = self.deaf = False
        self.reason: type | None = None

    def act(self, action: str) -> None:
        if self.over:
            return
        pending = self.reason
        if action == "abort":
            self.stop_reading()
            self.reason = ABORTED
        elif action == "lose":
            self.written = True
            self.stop_reading()
        elif pending is not None:
            pass
        elif action == "half":
            self.written = True
        elif action == "peer ends":
            self.ended = True
        elif action == "peer resets":
            self.reason = LOST
        elif action == "carrier lost":
            if not self.ended:
                self.stop_reading()
            self.reason = CarrierLost
        if self.reason is None and self.written and self.ended:
            self.reason = DONE
        self.settle()

    @property
    def over(self) -> bool:
        return bool(self.heard) and isinstance(self.heard[-1], type)

    def stop_reading(self) -> None:
        self.unread, self.paused, self.deaf = [], False, True

    def settle(self) -> None:
        if self.paused:
            return
        self.heard += self.unread
        self.unread = []
        if self.ended and not self.end_told and not self.deaf:
            self.end_told = True
            self.heard.append("end")
        if self.reason is not None and not self.over:
            self.heard.append(self.reason)


def orders() -> list[tuple[str, ...]]:
    """Every order of up to four of the actions: later ones find the stream gone."""
    return [order for length in range(1, 5) for order in itertools.permutations(ACTIONS, length)]


@pytest.mark.parametrize("paused", [False, True])
def test_connection_lost_once_and_with_the_documented_reason_in_every_order_of_ends(paused: bool) -> None:
    pair = Pair()
    for order in orders():
        if pair.proxy.gone:
            pair = Pair()
        here, there = pair.open()
        if paused:
            here.transport.pauseProducing()
        there.transport.write(b"data")
        pair.pump()
        model = Ends(paused)
        for action in order:
            act(pair, here, there, action)
            pair.pump()
            model.act(action)
            assert here.heard == model.heard, order
        model.paused = False
        model.settle()
        here.transport.resumeProducing()
        pair.pump()
        assert here.heard == model.heard, order
        if "carrier lost" in order:
            assert here.lost is not None
            assert there.lost is not None
            pair.pass_time(limits.SESSION_CLOSE_SECONDS)
            assert not pair.clock.getDelayedCalls()


def act(pair: Pair, here: Any, there: Any, action: str) -> None:
    if action == "half":
        here.transport.loseWriteConnection()
    elif action == "lose":
        here.transport.loseConnection()
    elif action == "abort":
        here.transport.abortConnection()
    elif action == "peer ends":
        there.transport.loseWriteConnection()
    elif action == "peer resets":
        there.transport.abortConnection()
    else:
        pair.proxy.abort("gone")


def test_data_before_an_end_is_delivered_though_the_carrier_is_lost_after() -> None:
    pair = Pair()
    here, there = pair.open()
    here.transport.pauseProducing()
    there.transport.write(b"x" * 100_000)
    there.transport.loseWriteConnection()
    pair.pump()
    pair.proxy.abort("gone")
    pair.pump()
    assert here.heard == []
    here.transport.resumeProducing()
    pair.pump()
    assert here.data == b"x" * 100_000
    assert here.ends == ["end", CarrierLost]


def test_a_cut_transfer_is_seen_as_cut() -> None:
    pair = Pair()
    here, there = pair.open()
    here.transport.pauseProducing()
    there.transport.write(b"x" * 100_000)
    pair.pump()
    pair.proxy.abort("gone")
    pair.pump()
    assert here.heard == [CarrierLost]
    assert issubclass(CarrierLost, LOST)
