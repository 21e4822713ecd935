"""What an Agent's admin tells the Proxy, over a real carrier."""

from dataclasses import replace
from typing import Any

import pytest

from socksfusion import limits
from socksfusion.wire.control_messages import Paused, Resumed, Running, StopScan, Uninstalled
from socksfusion.wire.messages import Message
from tests.proxy.gatehouse import Gatehouse, Visitor, digest


@pytest.fixture
def house() -> Gatehouse:
    made = Gatehouse()
    made.book.register("acme", digest())
    return made


def say(house: Gatehouse, visitor: Visitor, message: Message) -> None:
    assert visitor.control is not None
    house.book.notes.clear()
    visitor.control.send(message)
    house.pump()


@pytest.mark.parametrize(
    ("message", "note"),
    [
        (Paused(until=0), ("paused", "acme", True, None)),
        (Paused(until=5_000.0), ("paused", "acme", True, 5_000.0)),
        (Resumed(), ("paused", "acme", False, None)),
        (Uninstalled(), ("uninstalled", "acme", True)),
    ],
)
def test_it_is_written_down(house: Gatehouse, message: Message, note: tuple[Any, ...]) -> None:
    say(house, house.come(), message)
    assert house.book.notes == [note]
    assert house.stopped_scans == []


def test_its_scans_are_stopped(house: Gatehouse) -> None:
    say(house, house.come(), StopScan())
    assert house.stopped_scans == [("acme", "admin")]


@pytest.mark.parametrize("message", [Paused(until=0), StopScan(), Uninstalled()])
def test_one_who_does_not_serve_has_no_say(house: Gatehouse, message: Message) -> None:
    house.come(program="first")
    duplicate = house.come(program="second", says_hello=False)
    duplicate.say_hello()
    say(house, duplicate, message)
    assert [note for note in house.book.notes if note[0] in ("paused", "uninstalled")] == []
    assert house.stopped_scans == []


def test_another_message_is_ignored(house: Gatehouse) -> None:
    visitor = house.come()
    say(house, visitor, Running())
    assert house.book.notes == []
    assert visitor.lost_why is None


@pytest.mark.parametrize("message", [Paused(until=0), Resumed(), StopScan(), Uninstalled()])
def test_j2_an_agent_that_talks_for_its_admin_without_end_is_sent_away(house: Gatehouse, message: Message) -> None:
    visitor = house.come()
    assert visitor.control is not None
    house.book.notes.clear()
    for _ in range(10 * limits.ADMIN_WORDS_AT_ONCE):
        visitor.control.send(message)
    house.pump()
    heard = len(house.book.notes) + len(house.stopped_scans)
    assert limits.ADMIN_WORDS_AT_ONCE <= heard <= limits.ADMIN_WORDS_AT_ONCE + 10
    assert visitor.lost_why is not None
    assert house.connected.get("acme") is None


def test_an_agent_that_comes_back_begins_anew(house: Gatehouse) -> None:
    """It tells again that it is paused, if it is."""
    snapshot = house.book.snapshot
    acme = replace(snapshot.agents["acme"], paused=True, uninstalled=True)
    house.book.publish(replace(snapshot, agents={"acme": acme}))
    house.come()
    assert ("paused", "acme", False, None) in house.book.notes
    assert ("uninstalled", "acme", False) in house.book.notes


@pytest.mark.parametrize(
    ("message", "undone"),
    [(Paused(until=0), ("paused", "acme", False, None)), (Uninstalled(), ("uninstalled", "acme", False))],
)
def test_an_agent_that_comes_back_before_the_registry_shows_what_it_told_begins_anew_too(
    house: Gatehouse, message: Message, undone: tuple[Any, ...]
) -> None:
    """The registry may be busy for seconds, and nobody would undo it later."""
    say(house, house.come(program="same"), message)
    house.come(program="same")
    assert house.book.notes.count(undone) == 1
    house.come(program="same")
    assert house.book.notes.count(undone) == 1


def test_expired_is_refused_and_ends_what_serves(house: Gatehouse) -> None:
    snapshot = house.book.snapshot
    house.book.publish(replace(snapshot, agents={"acme": replace(snapshot.agents["acme"], expires=2_000.0)}))
    visitor = house.come()
    house.gate.look()
    house.pump()
    assert visitor.welcome is not None
    assert visitor.refusal is None
    house.wall = 2_000.0
    house.gate.look()
    house.pump()
    assert visitor.refusal == "unknown"
    assert house.connected.get("acme") is None
    assert house.come().refusal == "unknown"
