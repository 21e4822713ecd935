"""proxy.guessing: wrong logins are answered later and later, by address; counted, logged, not kept for ever."""

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from socksfusion import limits
from socksfusion.proxy.guessing import Guessing
from socksfusion.refusals import Refusals


class Guesses:
    def __init__(self) -> None:
        self.clock = Clock()
        self.refusals = Refusals(self.clock.seconds)
        self.guessing = Guessing(self.clock, self.refusals)

    def delay(self, peer: str) -> float:
        """How long the failure of ``peer`` is kept back."""
        began = self.clock.seconds()
        answered: list[float] = []
        self.guessing.failed(peer).addCallback(lambda _: answered.append(self.clock.seconds() - began))
        for call in self.clock.getDelayedCalls():
            self.clock.advance(call.getTime() - self.clock.seconds())
        (delay,) = answered
        return round(delay, 6)


@pytest.fixture
def guesses() -> Guesses:
    return Guesses()


def test_c9_each_failure_of_an_address_delays_its_next_answer_to_5_seconds(guesses: Guesses) -> None:
    delays = [guesses.delay(f"192.0.2.1:{port}") for port in range(5000, 5100)]
    assert delays[:6] == [0.25, 0.5, 1, 2, 4, 5]
    assert set(delays[6:]) == {5.0}
    assert guesses.refusals.counts == {"login": 100}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1:5000", "192.0.2.2:5000", False),
        ("[2001:db8::1]:5000", "[2001:db8::ffff:2]:5000", True),
        ("[2001:db8::1]:5000", "[2001:db8:0:1::1]:5000", False),
        ("[::ffff:192.0.2.1]:5000", "[::ffff:192.0.2.2]:5000", False),
        ("unix", "unix", True),
    ],
)
def test_c9_what_counts_as_one_address(guesses: Guesses, first: str, second: str, same: bool) -> None:
    guesses.delay(first)
    assert guesses.delay(second) == (0.5 if same else 0.25)


def test_an_address_that_fails_no_more_begins_anew(guesses: Guesses) -> None:
    guesses.delay("192.0.2.1:5000")
    guesses.clock.advance(limits.LOGIN_FAILURES_FORGOTTEN_SECONDS)
    assert guesses.delay("192.0.2.1:5000") == 0.25


def test_addresses_are_remembered_in_bounded_memory(guesses: Guesses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOGIN_FAILURE_ADDRESSES", 2)
    for peer in ("192.0.2.1:1", "192.0.2.2:1", "192.0.2.1:1", "192.0.2.3:1"):
        guesses.delay(peer)
    assert guesses.delay("192.0.2.1:1") == 1.0
    assert guesses.delay("192.0.2.2:1") == 0.25


def test_a_client_that_goes_away_leaves_no_timer(guesses: Guesses) -> None:
    answer = guesses.guessing.failed("192.0.2.1:5000")
    answer.addErrback(lambda _: None)
    answer.cancel()
    assert not guesses.clock.getDelayedCalls()


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        events.append(event)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


def test_the_log_names_rule_and_peer(guesses: Guesses, logged: list[LogEvent]) -> None:
    guesses.delay("192.0.2.1:5000")
    (event,) = logged
    assert (event["rule"], event["peer"]) == ("login", "192.0.2.1:5000")
