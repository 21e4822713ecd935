"""Dials at once: bounded, in order, and never a stack (attacks.md, row B4)."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from socksfusion.agent.turns import NoTurn, Turns
from socksfusion.wire.socks5 import Reply


def error_of(deferred: "Deferred[None]") -> BaseException:
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    error = failures[0].value
    assert error is not None
    return error


def test_b4_those_above_the_bound_wait_in_order() -> None:
    turns = Turns(Clock(), at_once=2)
    taken = [turns.take() for _ in range(5)]
    order: list[int] = []
    for number, turn in enumerate(taken):
        turn.addCallback(lambda _, number: order.append(number), number)
    assert order == [0, 1]
    assert turns.queued == 3
    turns.give_back()
    turns.give_back()
    assert order == [0, 1, 2, 3]
    assert (turns.taken, turns.peak, turns.queued) == (2, 2, 1)


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
    turns.take()
    left, stays = turns.take(), turns.take()
    left.cancel()
    assert isinstance(error_of(left), CancelledError)
    turns.give_back()
    assert stays.called
    assert turns.taken == 1
    assert not clock.getDelayedCalls()


def test_turns_that_end_at_once_don_t_become_a_stack() -> None:
    turns = Turns(Clock(), at_once=1, waiting=10_000)
    turns.take()
    ended = 0

    def end(_: None) -> None:
        nonlocal ended
        ended += 1
        turns.give_back()

    for _ in range(10_000):
        turns.take().addCallback(end)
    turns.give_back()
    assert ended == 10_000
    assert turns.taken == 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_turn_given_back_is_free_for_the_next(count: int) -> None:
    turns = Turns(Clock(), at_once=count)
    for _ in range(10):
        assert turns.take().called
        turns.give_back()
    assert turns.taken == 0
