"""Refusals: each is counted, the log stays readable, memory stays bounded."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from zope.interface import implementer

from socksfusion import limits
from socksfusion.refusals import OverdueRefusals, Refusals


@pytest.fixture
def lines() -> Iterator[list[str]]:
    seen: list[str] = []

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        seen.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    return Refusals(clock.seconds)


def test_a_refusal_is_one_line_and_a_count(refusals: Refusals, lines: list[str]) -> None:
    refusals.refuse("socks-version", "192.0.2.1:5000", "version 4")
    assert lines == ["refused rule=socks-version peer=192.0.2.1:5000 why=version 4"]
    assert refusals.counts == {"socks-version": 1}


def test_a_flood_is_one_line_a_second_then_a_count(refusals: Refusals, clock: Clock, lines: list[str]) -> None:
    """Rows J2 and LOG; the port of a peer changes with each connection."""
    for port in range(1000):
        refusals.refuse("flood", f"192.0.2.1:{port}", "too many")
    assert len(lines) == 1
    clock.advance(limits.REFUSAL_LOG_SECONDS)
    refusals.refuse("flood", "192.0.2.1:9", "too many")
    assert lines[1] == "refused rule=flood peer=192.0.2.1:9 why=too many suppressed=999"
    clock.advance(limits.REFUSAL_LOG_SECONDS)
    refusals.refuse("flood", "192.0.2.1:9", "too many")
    assert "suppressed" not in lines[2]
    assert refusals.counts["flood"] == 1002


def test_a_peer_or_rule_hides_no_other(refusals: Refusals, lines: list[str]) -> None:
    for peer in ("192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"):
        for rule in ("one", "two"):
            refusals.refuse(rule, peer, "why")
    assert len(lines) == 6


def test_text_from_outside_is_escaped(refusals: Refusals, lines: list[str]) -> None:
    """Row C6: one line, no byte 1b."""
    refusals.refuse("rule", "evil\n:1", "\x1b[2Jgone\r\n" + "x" * 10_000)
    (line,) = lines
    assert line.isprintable()
    assert "\\x1b[2Jgone\\x0d\\x0a" in line
    assert len(line) < 3 * limits.LOGGED_TEXT_CHARACTERS


def test_format_fields_in_text_mean_nothing(refusals: Refusals, lines: list[str]) -> None:
    refusals.refuse("rule", "192.0.2.1:1", "{rule} {0} {missing}")
    assert lines == ["refused rule=rule peer=192.0.2.1:1 why={rule} {0} {missing}"]


def test_memory_is_bounded_and_what_was_suppressed_is_told(
    refusals: Refusals, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REFUSAL_LOG_PEERS", 3)
    for _ in range(5):
        refusals.refuse("rule", "192.0.2.1:1", "why")
    for number in range(2, 5):
        refusals.refuse("rule", f"192.0.2.{number}:1", "why")
    assert len(refusals._logged_at) == 3
    assert lines[-1] == "refused rule=rule peer=192.0.2.1 why=why suppressed=4"
    refusals.tell_all()
    assert len(lines) == 5, "the count was told once"


def test_who_goes_on_is_not_the_first_to_be_forgotten(
    refusals: Refusals, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REFUSAL_LOG_PEERS", 2)
    refusals.refuse("rule", "192.0.2.1:1", "why")
    refusals.refuse("rule", "192.0.2.2:1", "why")
    refusals.refuse("rule", "192.0.2.1:1", "why")
    refusals.refuse("rule", "192.0.2.3:1", "why")
    assert [host for host, _ in refusals._logged_at] == ["192.0.2.1", "192.0.2.3"]


@pytest.fixture
def overdue(clock: Clock, refusals: Refusals) -> Iterator[OverdueRefusals]:
    service = OverdueRefusals(clock, refusals)
    service.startService()
    yield service
    service.stopService()
    assert not clock.getDelayedCalls()


def test_a_count_is_told_when_the_flood_is_over(
    refusals: Refusals, clock: Clock, overdue: OverdueRefusals, lines: list[str]
) -> None:
    for host in ("192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.2:1"):
        refusals.refuse("flood", host, "too many")
    clock.pump([limits.REFUSAL_LOG_SECONDS] * 10)
    assert lines[2:] == ["refused rule=flood peer=192.0.2.1 why=too many suppressed=2"]


def test_a_flood_that_goes_on_tells_why_in_each_line(
    refusals: Refusals, clock: Clock, overdue: OverdueRefusals, lines: list[str]
) -> None:
    for _ in range(100):
        refusals.refuse("flood", "192.0.2.1:1", "too many")
        clock.advance(limits.REFUSAL_LOG_SECONDS / 10)
    assert len(lines) == 10
    assert {line.split(" suppressed")[0] for line in lines} == {"refused rule=flood peer=192.0.2.1:1 why=too many"}


def test_what_was_told_as_a_count_is_a_line_of_that_second(
    refusals: Refusals, clock: Clock, overdue: OverdueRefusals, lines: list[str]
) -> None:
    for _ in range(2):
        refusals.refuse("flood", "192.0.2.1:1", "too many")
    clock.pump([limits.REFUSAL_LOG_SECONDS] * 2)
    assert len(lines) == 2
    refusals.refuse("flood", "192.0.2.1:1", "too many")
    assert len(lines) == 2


def test_the_end_of_the_program_tells_all_counts(
    refusals: Refusals, overdue: OverdueRefusals, lines: list[str]
) -> None:
    for _ in range(3):
        refusals.refuse("flood", "192.0.2.1:1", "too many")
    overdue.stopService()
    assert lines[1:] == ["refused rule=flood peer=192.0.2.1 why=too many suppressed=2"]


def test_a_count_that_is_told_late_says_why_of_the_newest(
    refusals: Refusals, clock: Clock, overdue: OverdueRefusals, lines: list[str]
) -> None:
    for why in ("no hello", "bad\ncertificate", "too many\x1b"):
        refusals.refuse("handshake", "192.0.2.1:1", why)
    clock.pump([limits.REFUSAL_LOG_SECONDS] * 10)
    assert lines[1:] == ["refused rule=handshake peer=192.0.2.1 why=too many\\x1b suppressed=2"]
