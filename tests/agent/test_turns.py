"""Dials at once and a second, connections open: bounded, fair among users, and never a stack (rows B4 and F5)."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.agent.turns import NoTurn, Turn, Turns
from socksfusion.wire.socks5 import Reply

Waiting = Deferred[Turn]


def error_of(deferred: Waiting) -> BaseException:
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    error = failures[0].value
    assert error is not None
    return error


def turn_of(deferred: Waiting) -> Turn:
    found: list[Turn] = []
    deferred.addCallback(found.append)
    (turn,) = found
    return turn


def recorded(turns: Turns, users: str) -> tuple[list[str], list[Turn]]:
    """Takes a turn for each letter of ``users``; who had theirs, in order, and these."""
    order: list[str] = []
    had: list[Turn] = []

    def got(turn: Turn, user: str) -> None:
        order.append(user)
        had.append(turn)

    for user in users:
        turns.take(user).addCallback(got, user)
    return order, had


def test_b4_those_above_the_bound_wait_in_order() -> None:
    turns = Turns(Clock(), at_once=2)
    taken = [turns.take() for _ in range(5)]
    assert [turn.called for turn in taken] == [True, True, False, False, False]
    assert turns.queued == 3
    turn_of(taken[1]).end()
    turn_of(taken[0]).end()
    assert [turn.called for turn in taken] == [True, True, True, True, False]
    assert (turns.taken, turns.peak, turns.queued) == (2, 2, 1)


def test_f5_users_take_turns_whoever_came_first() -> None:
    turns = Turns(Clock(), at_once=1)
    order, had = recorded(turns, "aaaaabbc")
    for number in range(8):
        had[number].end()
    assert "".join(order) == "aabcabaa"
    assert turns.taken == 0


def test_a_connection_keeps_its_place_and_not_its_dial() -> None:
    turns = Turns(Clock(), at_once=1, streams=2)
    order, had = recorded(turns, "abcd")
    had[0].dialled()
    assert order == ["a", "b"]
    had[1].dialled()
    assert order == ["a", "b"], "two connections are open"
    had[0].end()
    assert order == ["a", "b", "c"]
    for turn in (had[0], had[0], had[1]):
        turn.end()
        turn.dialled()
    assert (turns.taken, turns.open, turns.queued) == (1, 1, 1), "c dials, b's place waits for c's dial"
    had[2].end()
    had[3].end()
    assert (turns.taken, turns.open) == (0, 0)


def test_f5_dials_a_second_hold_over_any_time_and_nobody_is_left_out() -> None:
    clock = Clock()
    turns = Turns(clock, per_second=200)
    begun: list[float] = []

    def dial(turn: Turn) -> None:
        begun.append(clock.seconds())
        turn.end()

    for _ in range(1000):
        turns.take().addCallback(dial)
    burst = 200 * limits.DIAL_BURST_SECONDS
    assert len(begun) == burst
    while turns.queued:
        clock.advance(limits.DIAL_TICK_SECONDS)
    assert len(begun) == 1000
    for first in range(0, 1000, 50):
        for last in range(first + 1, 1000, 50):
            assert last - first <= (begun[last] - begun[first]) * 200 + burst
    assert begun[-1] <= 5.0
    assert not clock.getDelayedCalls()


def test_a_slow_rate_lets_one_begin_at_a_time() -> None:
    clock = Clock()
    turns = Turns(clock, per_second=0.5)
    order, _ = recorded(turns, "abc")
    assert order == ["a"]
    clock.advance(1.9)
    assert order == ["a"]
    clock.advance(0.1)
    clock.advance(0.1)
    assert order == ["a", "b"]


def test_no_timer_runs_for_tokens_while_something_else_is_short() -> None:
    clock = Clock()
    turns = Turns(clock, at_once=1, per_second=100)
    order, had = recorded(turns, "ab")
    clock.advance(5)
    assert order == ["a"]
    assert len(clock.getDelayedCalls()) == 1, "the wait's own limit"
    had[0].end()
    assert order == ["a", "b"]


def test_b4_a_full_queue_and_a_long_wait_are_told_as_not_tested() -> None:
    clock = Clock()
    turns = Turns(clock, at_once=1, waiting=1, wait_seconds=30)
    turns.take()
    waits = turns.take()
    refused = error_of(turns.take())
    clock.advance(29.9)
    assert not waits.called
    clock.advance(0.1)
    late = error_of(waits)
    for error in (refused, late):
        assert isinstance(error, NoTurn)
        assert error.reply is Reply.GENERAL_FAILURE
        assert not error.tried
    assert not clock.getDelayedCalls()


def test_each_waits_its_own_time() -> None:
    clock = Clock()
    turns = Turns(clock, at_once=1, wait_seconds=30)
    turns.take()
    first = turns.take()
    clock.advance(10)
    second = turns.take()
    clock.advance(20)
    error_of(first)
    assert not second.called
    clock.advance(10)
    error_of(second)


def test_cancelling_leaves_the_queue() -> None:
    clock = Clock()
    turns = Turns(clock, at_once=1)
    first = turns.take()
    left, stays = turns.take(), turns.take()
    left.cancel()
    assert isinstance(error_of(left), CancelledError)
    turn_of(first).end()
    assert stays.called
    assert turns.taken == 1
    assert not clock.getDelayedCalls()


def test_turns_that_end_at_once_don_t_become_a_stack() -> None:
    turns = Turns(Clock(), at_once=1, waiting=10_000)
    first = turn_of(turns.take())
    ended = 0

    def end(turn: Turn) -> None:
        nonlocal ended
        ended += 1
        turn.end()

    for _ in range(10_000):
        turns.take().addCallback(end)
    first.end()
    assert ended == 10_000
    assert turns.taken == 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_turn_that_ended_is_free_for_the_next(count: int) -> None:
    turns = Turns(Clock(), at_once=count)
    for _ in range(10):
        turn_of(turns.take()).end()
    assert turns.taken == 0
