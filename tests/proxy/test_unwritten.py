"""proxy.unwritten: the order of changes, and their number while the registry can't be written."""

import pytest

from socksfusion import limits
from socksfusion.proxy.unwritten import Change, Unwritten


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Unwritten:
    """One that holds 4 before it begins to forget."""
    monkeypatch.setattr(limits, "CHANGES_UNWRITTEN", 4)
    return Unwritten()


def test_order_is_kept_and_gaps_of_a_kind_go_together() -> None:
    changes = Unwritten()
    changes.gap_began("a", 1.0)
    changes.gap_began("b", 2.0)
    changes.gap_ended("a", 3.0)
    changes.gap_began("a", 4.0)
    changes.add("set_paused", "acme", True, None)
    assert list(changes.take()) == [
        Change("scans.begin_gaps", ({"a": 1.0, "b": 2.0},)),
        Change("scans.end_gaps", ({"a": 3.0},)),
        Change("scans.begin_gaps", ({"a": 4.0},)),
        Change("set_paused", ("acme", True, None)),
    ]
    assert not changes


def test_what_is_put_back_goes_first() -> None:
    changes = Unwritten()
    changes.add("scans.start", 1)
    turn = changes.take()
    changes.add("scans.start", 2)
    changes.put_back(turn)
    assert [change.arguments for change in changes.take()] == [(1,), (2,)]


def test_j2_an_agent_that_comes_and_goes_meanwhile_fills_nothing(few: Unwritten) -> None:
    few.gap_began("b", 0.5)
    for number in range(1000):
        few.gap_began("a", number)
        few.gap_ended("a", number + 0.5)
    assert len(few) <= 5
    began = [change.arguments[0] for change in few.take() if change.method == "scans.begin_gaps"]
    # the last one lasts from where counting stopped to the last end: longer than they were, never shorter
    assert began == [{"b": 0.5, "a": 0}, {"a": 1}]


def test_j2_the_end_of_the_last_gap_stays(few: Unwritten) -> None:
    for number in range(1000):
        few.gap_began("a", number)
        few.gap_ended("a", number + 0.5)
    assert few.take()[-1] == Change("scans.end_gaps", ({"a": 999.5},))


def test_j2_the_ends_of_others_stay(few: Unwritten) -> None:
    for scan in ("a", "b"):
        few.gap_began(scan, 1.0)
    few.add("scans.start", 1)
    for scan in ("a", "b"):
        few.gap_ended(scan, 2.0)
    few.add("scans.start", 2)
    few.gap_began("a", 3.0)
    assert [change.arguments for change in few.take()] == [({"a": 1.0, "b": 1.0},), (1,), ({"b": 2.0},), (2,)]


@pytest.mark.parametrize("method", ["set_paused", "set_uninstalled", "scans.set_port_trouble"])
def test_j2_only_the_last_word_counts(few: Unwritten, method: str) -> None:
    few.add("scans.start", 1)
    for number in range(1000):
        for of in ("acme", "other"):
            few.add(method, of, number)
    turn = few.take()
    assert len(turn) <= 5
    assert turn[0].method == "scans.start"
    assert [change.arguments for change in turn][-2:] == [("acme", 999), ("other", 999)]
