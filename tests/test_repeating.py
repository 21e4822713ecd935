"""Repeating: a turn that fails is not the last one."""

import pytest
from twisted.internet.task import Clock

from socksfusion.repeating import Repeating
from tests.tunnel.pair import logged_failures


class Turns:
    def __init__(self) -> None:
        self.at: list[float] = []
        self.clock = Clock()
        self.fails = False
        self.service = Repeating(self.clock, 2.0, self.turn)

    def turn(self) -> None:
        self.at.append(self.clock.seconds())
        if self.fails:
            raise ValueError("a test's")


@pytest.fixture
def turns() -> Turns:
    return Turns()


def test_it_begins_after_the_first_span_and_ends_when_it_is_stopped(turns: Turns) -> None:
    turns.service.startService()
    turns.clock.pump([1] * 5)
    assert turns.at == [2, 4]
    turns.service.stopService()
    turns.clock.pump([1] * 5)
    assert turns.at == [2, 4]
    assert not turns.clock.getDelayedCalls()


def test_a_turn_that_fails_is_logged_and_the_next_one_comes(turns: Turns) -> None:
    turns.fails = True
    turns.service.startService()
    with logged_failures() as failures:
        turns.clock.pump([1] * 5)
    assert turns.at == [2, 4]
    assert [failure.type for failure in failures] == [ValueError, ValueError]


def test_one_that_was_never_started_can_be_stopped(turns: Turns) -> None:
    turns.service.stopService()
    assert not turns.service.running
