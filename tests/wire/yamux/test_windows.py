"""Receive windows grow where they limit, within their budgets, and nowhere else."""

import pytest

from socksfusion.limits import INITIAL_WINDOW_BYTES, KIB, MIB, STREAM_WINDOW_BYTES
from socksfusion.wire.yamux import ProcessBudget
from socksfusion.wire.yamux.windows import GrowthBudget, ReceiveWindow
from tests.wire.yamux.frames import ACK, SYN, WINDOW, data, ping, update
from tests.wire.yamux.link import Link
from tests.wire.yamux.sides import acceptor, sent


def test_a_window_that_limits_grows_to_the_largest_and_the_link_is_full() -> None:
    link = Link(round_trip=0.1, rate=100e6)  # 10 MB in a round trip
    link.open()
    link.run(2.5)
    assert link.server.streams[1].window.size == STREAM_WINDOW_BYTES
    link.read = 0
    link.run(1.0)
    assert link.read > 0.95 * 100e6


def test_growth_does_not_stop_at_twice_the_first_window() -> None:
    """The trap of a rule that asks whether updates follow each other within a multiple of the round trip."""
    link = Link(round_trip=0.2, rate=20e6)  # 4 MB in a round trip
    link.open()
    link.run(3.0)
    assert link.server.streams[1].window.size >= 4 * MIB


def test_a_window_larger_than_what_is_in_flight_does_not_grow() -> None:
    link = Link(round_trip=0.01, rate=5e6)  # 50 kB in a round trip
    link.open()
    link.run(1.0)
    assert link.server.streams[1].window.size == INITIAL_WINDOW_BYTES


@pytest.mark.parametrize("burst", [1, 200], ids=["steady", "in-bursts"])
def test_the_window_of_a_slow_reader_does_not_grow(burst: int) -> None:
    link = Link(round_trip=0.02, rate=100e6, reader_rate=1e6, reader_burst=burst)
    link.open()
    link.run(2.0)
    assert link.read > 1e6
    assert link.server.streams[1].window.size == INITIAL_WINDOW_BYTES


def test_a_window_half_full_of_unread_bytes_does_not_grow() -> None:
    for unread, size in ((WINDOW // 2, 2 * WINDOW), (WINDOW // 2 + 1, WINDOW)):
        window = ReceiveWindow(GrowthBudget(WINDOW), 2 * WINDOW)
        window.judge(1.0, unread, 0.1)
        window.consume(WINDOW // 2)
        window.judge(1.1, unread, 0.1)
        assert window.size == size


def test_nothing_grows_before_a_round_trip_is_known() -> None:
    session = acceptor()
    session.receive_data(update(1, 0, SYN), 0.0)
    stream = session.streams[1]
    for turn in range(1, 50):
        session.receive_data(data(1, bytes(WINDOW)), float(turn))
        stream.consumed(WINDOW, turn + 0.001)
        sent(session)
    assert stream.window.size == INITIAL_WINDOW_BYTES
    session.receive_data(ping(0, ACK), 100.0)
    assert session.round_trip is not None


def test_growth_stops_at_the_sessions_budget() -> None:
    link = Link(round_trip=0.1, rate=100e6, session_growth=3 * MIB)
    for _ in range(8):
        link.open()
    link.run(2.0)
    sizes = [stream.window.size for stream in link.server.streams.values()]
    grown = sum(size - INITIAL_WINDOW_BYTES for size in sizes)
    assert 2 * MIB < grown <= 3 * MIB
    assert link.server.budget.growth.taken == grown


def test_growth_stops_at_the_processs_budget() -> None:
    budget = ProcessBudget(growth=1 * MIB)
    links = [Link(round_trip=0.1, rate=20e6, budget=budget) for _ in range(2)]  # type: ignore[arg-type]
    for link in links:
        link.open()
        link.run(1.0)
    grown = sum(link.server.streams[1].window.size - INITIAL_WINDOW_BYTES for link in links)
    assert grown == budget.growth.taken <= 1 * MIB
    assert grown >= 768 * KIB


@pytest.mark.parametrize("end", ["reset", "peer-reset", "fail", "clean"])
def test_growth_is_given_back_at_the_end(end: str) -> None:
    link = Link(round_trip=0.1, rate=100e6)
    theirs = link.open()
    link.run(1.0)
    ours = link.server.streams[1]
    assert link.server.budget.growth.taken > 0
    if end == "reset":
        ours.reset()
    elif end == "peer-reset":
        theirs.reset()
    elif end == "fail":
        link.server.fail()
    else:
        ours.end()
        theirs.end()
    link.run(1.0)
    assert link.server.budget.growth.taken == 0


def test_a_nested_budget_takes_from_both_or_from_none() -> None:
    outer = GrowthBudget(100)
    first, second = GrowthBudget(80, outer), GrowthBudget(80, outer)
    assert first.take(80)
    assert not second.take(30)
    assert (second.taken, outer.taken) == (0, 80)
    assert not first.take(1)
    first.give_back(80)
    assert second.take(30)
    assert outer.taken == 30
