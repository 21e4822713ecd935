"""A limit of bytes a second: it holds over any time, all get their turn, and what passes stays true."""

from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.tunnel import draining, sweeper
from socksfusion.tunnel.bandwidth import Bandwidth, Flow, Throttle
from tests.tunnel.way import Way

RATE = 1_000_000
BURST = RATE * limits.BANDWIDTH_BURST_SECONDS
READ = 20_000


@pytest.fixture(autouse=True)
def _no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "unsent_bytes", lambda transport: transport.unsent)
    monkeypatch.setattr(sweeper, "_was_reset", lambda relay: relay.tcp.was_reset)


class Greedy:
    """A connection with as much to read as it may, in reads of ``size``."""

    def __init__(self, throttle: Throttle, size: int = READ) -> None:
        self.size = size
        self.reading = True
        self.passed = 0
        self.dataReceived = self._write
        self.flow: Flow = throttle.flow(self, self._pause, self._resume)

    def _write(self, data: bytes) -> None:
        self.passed += len(data)

    def _pause(self) -> None:
        assert self.reading, "told twice"
        self.reading = False

    def _resume(self) -> None:
        assert not self.reading, "told twice"
        self.reading = True

    def turn(self) -> bool:
        """A turn of the reactor: one read, where it reads."""
        if self.reading:
            self.dataReceived(bytes(self.size))
        return self.reading


def run(clock: Clock, seconds: float, *connections: Greedy) -> None:
    for _ in range(round(seconds / 0.005)):
        while sum(connection.turn() for connection in connections):
            pass
        clock.advance(0.005)


def test_the_rate_holds_and_is_used() -> None:
    clock = Clock()
    one = Greedy(Throttle(clock, RATE))
    passed = [0]
    for _ in range(20):
        run(clock, 0.5, one)
        passed.append(one.passed)
    for first in range(20):
        for last in range(first + 1, 21):
            assert passed[last] - passed[first] <= (last - first) * 0.5 * RATE + BURST + READ
    assert passed[-1] >= 10 * RATE - BURST


@pytest.mark.parametrize("count", [2, 50])
def test_everybody_gets_the_same(count: int) -> None:
    clock = Clock()
    throttle = Throttle(clock, RATE)
    connections = [Greedy(throttle) for _ in range(count)]
    run(clock, 10, *connections)
    shares = [connection.passed for connection in connections]
    assert max(shares) - min(shares) <= 2 * READ
    assert 10 * RATE - BURST <= sum(shares) <= 10 * RATE + BURST + count * READ


def test_one_with_little_to_say_waits_for_one_round_at_most() -> None:
    clock = Clock()
    throttle = Throttle(clock, RATE)
    connections = [Greedy(throttle) for _ in range(10)]
    run(clock, 3, *connections)
    modest = Greedy(throttle, size=100)
    for _ in range(10):
        before = clock.seconds()
        assert modest.reading
        modest.dataReceived(b"x" * 100)
        while not modest.reading:
            run(clock, 0.005, *connections)
        assert clock.seconds() - before <= 10 * READ / RATE + 2 * limits.BANDWIDTH_TICK_SECONDS


def test_who_stays_below_is_never_stopped_and_no_timer_runs() -> None:
    clock = Clock()
    modest = Greedy(Throttle(clock, RATE), size=4000)
    for _ in range(1000):
        assert modest.turn()
        clock.advance(0.005)
    assert not clock.getDelayedCalls()


def test_a_consumer_that_waits_and_the_limit_don_t_undo_each_other() -> None:
    clock = Clock()
    one = Greedy(Throttle(clock, RATE), size=int(BURST) + 1)
    one.turn()
    assert one.flow.held
    one.flow.pauseProducing()
    clock.advance(1)
    assert not one.flow.held
    assert not one.reading, "its consumer has no room"
    one.flow.resumeProducing()
    assert one.reading
    one.flow.pauseProducing()
    one.dataReceived(bytes(one.size))
    one.flow.resumeProducing()
    assert not one.reading, "above the limit"
    clock.advance(1)
    assert one.reading


# -- datagrams -------------------------------------------------------------------------------------------------------


class Chatty:
    """An association with as much to send as may pass."""

    def __init__(self, throttle: Throttle, size: int) -> None:
        self.size = size
        self.flow = throttle.datagrams()
        self.passed = 0
        self.dropped = 0

    def send(self) -> bool:
        sent = self.flow.send(self._write, self.size)
        self.dropped += not sent
        return sent

    def _write(self) -> None:
        self.passed += self.size


def talk(clock: Clock, seconds: float, associations: list[Chatty], *connections: Greedy) -> None:
    for _ in range(round(seconds / 0.005)):
        for association in associations:
            while association.send():
                pass
        run(clock, 0.005, *connections)


@pytest.mark.parametrize("connections", [0, 1, 5])
def test_datagrams_take_turns_with_connections_at_the_rate(connections: int) -> None:
    clock = Clock()
    throttle = Throttle(clock, RATE)
    associations = [Chatty(throttle, 1000) for _ in range(2)]
    greedy = [Greedy(throttle) for _ in range(connections)]
    talk(clock, 10, associations, *greedy)
    shares = [one.passed for one in [*associations, *greedy]]
    assert 10 * RATE - BURST <= sum(shares) <= 10 * RATE + BURST + len(shares) * READ
    assert max(shares) - min(shares) <= 0.02 * 10 * RATE
    assert all(association.dropped for association in associations)


def test_a_query_beside_bulk_waits_for_one_round_and_is_not_dropped() -> None:
    clock = Clock()
    throttle = Throttle(clock, RATE)
    connections = [Greedy(throttle) for _ in range(10)]
    run(clock, 3, *connections)
    modest = Chatty(throttle, 100)
    for number in range(1, 11):
        before = clock.seconds()
        assert modest.send()
        while modest.passed < number * 100:
            run(clock, 0.005, *connections)
        assert clock.seconds() - before <= 10 * READ / RATE + 2 * limits.BANDWIDTH_TICK_SECONDS


def test_datagrams_below_the_rate_pass_at_once_and_no_timer_runs() -> None:
    clock = Clock()
    modest = Chatty(Throttle(clock, RATE), 1000)
    for number in range(1, 1001):
        assert modest.send()
        assert modest.passed == number * 1000
        clock.advance(0.005)
    assert not clock.getDelayedCalls()


def test_a_datagram_larger_than_what_may_wait_passes_all_the_same() -> None:
    clock = Clock()
    one = Chatty(Throttle(clock, 1000), 60_000)
    assert one.send()
    assert one.send(), "one may always wait"
    assert not one.send()
    clock.advance(60)
    assert one.passed == 120_000


def test_j3_a_stray_exception_in_its_turn_stops_nobody_else() -> None:
    clock = Clock()
    throttle = Throttle(clock, RATE)
    broken, well = throttle.datagrams(), Chatty(throttle, 1000)
    broken.send(lambda: None, int(BURST) + 1)
    broken.send(lambda: 1 / 0, 1000)  # type: ignore[arg-type, return-value]
    well.send()
    with pytest.raises(ZeroDivisionError):
        clock.advance(1)
    clock.advance(1)
    assert well.passed == 1000


# -- through the tunnel ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "size"),
    [(1000, limits.BANDWIDTH_READ_BYTES), (RATE, 20_000), (1_000_000_000, limits.PLAIN_READ_BYTES)],
)
def test_a_read_is_short_against_a_second(rate: int, size: int) -> None:
    assert Bandwidth(Clock(), rate).read_bytes == size


def through(way: Way, seconds: float, far: Any) -> int:
    before = len(far.data)
    way.pass_time(seconds, step=0.01)
    return len(far.data) - before


@pytest.mark.parametrize("side", ["client", "target"])
def test_bytes_ends_and_rate_through_the_tunnel(side: str) -> None:
    way = Way(bandwidth=RATE)
    here, there = way.far(side)
    data = bytes(range(256)) * 12_000
    here.transport.write(data)
    here.transport.loseWriteConnection()
    # what the carrier brings comes in larger pieces than a socket's reads
    assert through(way, 1, there) <= RATE + BURST + limits.CARRIER_READ_BYTES
    assert there.ends == []
    way.pass_time(3, step=0.01)
    assert there.data == data
    assert there.ends == ["end"]
    there.transport.loseConnection()
    way.pass_time(1, step=0.01)
    here.transport.loseConnection()
    way.pass_time(1, step=0.01)
    assert here.lost is there.lost is error.ConnectionDone
    way.check_nothing_is_left()


@pytest.mark.parametrize("side", ["client", "target"])
def test_a_reset_comes_after_the_bytes_before_it_at_the_rate_too(side: str) -> None:
    way = Way(bandwidth=RATE)
    here, there = way.far(side)
    here.transport.write(b"x" * 2_000_000)
    way.pass_time(0.5, step=0.01)
    here.transport.abortConnection()
    way.pass_time(5, step=0.01)
    assert there.lost is error.ConnectionLost
    assert set(there.data) == {ord("x")}
    way.check_nothing_is_left()


def test_a_lost_stream_ends_its_relay_while_it_is_held() -> None:
    way = Way(bandwidth=RATE)
    way.client.transport.write(b"x" * 2_000_000)
    way.target.transport.write(b"y" * 2_000_000)
    way.pass_time(0.5, step=0.01)
    way.relays[1].abort()
    way.pass_time(1, step=0.01)
    assert way.target.lost is error.ConnectionLost
    way.pass_time(20, step=0.5)
    way.check_nothing_is_left()
