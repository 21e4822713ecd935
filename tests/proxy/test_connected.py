"""Who is connected, and who hears of it."""

from types import SimpleNamespace
from typing import Any

from socksfusion.proxy.connected import ConnectedAgents


def visit(agent: str) -> Any:
    return SimpleNamespace(agent=agent)


def test_arrivals_and_departures_are_told() -> None:
    connected = ConnectedAgents()
    told: list[tuple[str, Any]] = []
    connected.arrived.append(lambda visit: told.append(("arrived", visit)))
    connected.left.append(lambda visit: told.append(("left", visit)))
    one: Any = visit("one")
    two = visit("two")
    connected.add(two)
    connected.add(one)
    assert connected.all() == [one, two]
    assert connected.get("one") == one
    connected.remove(one)
    assert connected.get("one") is None
    assert told == [("arrived", two), ("arrived", one), ("left", one)]


def test_who_does_not_serve_takes_nobody_with_it() -> None:
    connected = ConnectedAgents()
    ghost, back = visit("one"), visit("one")
    connected.add(ghost)
    connected.remove(ghost)
    connected.add(back)
    connected.remove(ghost)
    assert connected.get("one") is back


def test_an_arrival_is_known_to_those_who_are_told() -> None:
    connected = ConnectedAgents()
    found: list[Any] = []
    connected.arrived.append(lambda visit: found.append(connected.get(visit.agent)))
    one = visit("one")
    connected.add(one)
    assert found == [one]
