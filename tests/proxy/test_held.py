"""proxy.held: who waits for an Agent, for how long, and who gives way when too many do (attacks.md, row J2)."""

import pytest
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.proxy.held import HeldOpens


class Held:
    def __init__(self) -> None:
        self.clock = Clock()
        self.late: list[str] = []
        self.opens: HeldOpens[str] = HeldOpens(self.clock)

    def add(self, item: str, user: str, seconds: float = 20) -> str | None:
        return self.opens.add(item, user, seconds, lambda: self.late.append(item))


@pytest.fixture
def held() -> Held:
    return Held()


def test_each_waits_as_long_as_its_scan_says(held: Held) -> None:
    held.add("long", "x", 20)
    held.add("short", "y", 1)
    held.clock.advance(1)
    assert held.late == ["short"]
    assert held.opens.take_all() == ["long"]
    held.clock.advance(60)
    assert held.late == ["short"]
    assert not held.clock.getDelayedCalls()


def test_in_the_order_in_which_they_came(held: Held) -> None:
    for item, user in (("1", "x"), ("2", "y"), ("3", "x")):
        held.add(item, user)
    assert held.opens.take_all() == ["1", "2", "3"]
    assert len(held.opens) == 0


def test_what_is_removed_waits_no_more(held: Held) -> None:
    held.add("1", "x")
    assert held.opens.remove("1")
    assert not held.opens.remove("1")
    held.clock.advance(60)
    assert held.late == []


def test_j2_the_greediest_gives_way(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD_OPENS", 4)
    for number in range(4):
        assert held.add(f"x{number}", "x") is None
    assert held.add("y0", "y") == "x3"
    assert held.add("y1", "y") == "x2"
    # as many each: the newcomer has no better right
    assert held.add("y2", "y") == "y2"
    assert held.add("x4", "x") == "x4"
    assert held.opens.take_all() == ["x0", "x1", "y0", "y1"]
    assert not held.clock.getDelayedCalls()


def test_one_who_gives_way_is_not_told_late_too(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD_OPENS", 1)
    held.add("x0", "x")
    assert held.add("x1", "x") == "x1"
    held.clock.advance(60)
    assert held.late == ["x0"]
