"""What scans found: batches that add up, bounds, and the number of statements."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from socksfusion import limits
from socksfusion.registry.schema import Gap, Scan, ScanNotes, ScanTotals, Untested
from socksfusion.registry.store import Registry
from tests.registry.conftest import OLD


@pytest.fixture(autouse=True)
def running(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    for id_ in ("one", "two"):
        registry.scans.start(Scan(id_, "acme", 5.0, None, 5.0))


@pytest.fixture
def statements(registry: Registry) -> Iterator[list[str]]:
    """The statements that are sent to SQLite, without BEGIN and COMMIT."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.split()[0] not in ("BEGIN", "COMMIT"):
            sent.append(statement)

    engine = registry._session.connection.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield sent
    sa.event.remove(engine, "before_cursor_execute", note)


def test_notes_add_up(registry: Registry) -> None:
    registry.scans.note({"one": ScanNotes(3, 100, 2**40, {0: 3, 5: 90}, frozenset({"10.0.0.2"}))})
    registry.scans.note({"one": ScanNotes(1, 1, 1, {0: 1, 6: 2}, frozenset({"10.0.0.2", "10.0.0.3"}))})
    registry.scans.note({"two": ScanNotes(results={1: 1}), "pruned": ScanNotes(5)})
    registry.scans.note({})
    assert registry.scans.totals() == {
        "one": ScanTotals(
            ScanNotes(4, 101, 2**40 + 1, {0: 4, 5: 90, 6: 2}, frozenset({"10.0.0.2", "10.0.0.3"})), cut=0, not_tested=0
        ),
        "two": ScanTotals(ScanNotes(results={1: 1}), cut=0, not_tested=0),
    }
    assert registry.scans.totals("one").keys() == {"one"}
    assert registry.scans.totals("pruned") == {}


def test_what_makes_a_record_incomplete() -> None:
    assert not ScanTotals(ScanNotes(5, results={0: 5, 5: 9, 6: 1, 2: 1}), 0, 0).incomplete
    assert ScanTotals(ScanNotes(5, results={0: 5, 1: 1}), 0, 0).incomplete
    assert ScanTotals(ScanNotes(5, results={0: 5}), 1, 0).incomplete
    assert ScanTotals(ScanNotes(), 0, 1).incomplete


def test_untested(registry: Registry) -> None:
    batch = [
        Untested("one", 7.0, "192.0.2.1", 443, "cut", "carrier lost"),
        Untested("one", 6.0, "evil\x1b[2J\nhost", 80, "not tested", "no agent\n"),
        Untested("pruned", 6.0, "192.0.2.1", 80, "cut", "carrier lost"),
    ]
    registry.scans.add_untested(batch)
    registry.scans.add_untested([])
    assert registry.scans.untested("one") == (
        Untested("one", 6.0, r"evil\x1b[2J\x0ahost", 80, "not tested", r"no agent\x0a"),
        batch[0],
    )
    totals = registry.scans.totals("one")["one"]
    assert (totals.cut, totals.not_tested) == (1, 1)
    assert registry.scans.untested("two") == ()


def test_the_list_is_bounded_for_each_scan_and_the_count_is_not(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNTESTED_PER_SCAN", 5)
    for _ in range(2):
        registry.scans.add_untested(
            [Untested(id_, at, "192.0.2.1", at, "cut", "") for at in range(1, 5) for id_ in ("one", "two")]
        )
    for id_ in ("one", "two"):
        assert [one.port for one in registry.scans.untested(id_)] == [1, 1, 2, 3, 4]
        assert registry.scans.totals(id_)[id_].cut == 8


def test_gaps(registry: Registry) -> None:
    scans = registry.scans
    scans.begin_gaps({"one": 10.0, "pruned": 10.0})
    scans.begin_gaps({"one": 11.0, "two": 11.0})
    scans.end_gaps({"one": 12.0, "pruned": 12.0})
    scans.end_gaps({"one": 13.0})
    scans.begin_gaps({"one": 14.0})
    scans.begin_gaps({})
    scans.end_gaps({})
    assert scans.gaps("one") == (Gap("one", 10.0, 12.0), Gap("one", 14.0, None))
    assert scans.gaps("two") == (Gap("two", 11.0, None),)


def test_gaps_are_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GAPS_PER_SCAN", 3)
    for at in range(5):
        registry.scans.begin_gaps({"one": float(at)})
        registry.scans.end_gaps({"one": at + 0.5})
    assert [gap.began for gap in registry.scans.gaps("one")] == [0.0, 1.0, 2.0]


def test_sources_are_bounded_and_printable(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOURCES_PER_SCAN", 3)
    registry.scans.note({"one": ScanNotes(sources=frozenset({"10.0.0.1", "x\n" + "y" * 500}))})
    registry.scans.note({"one": ScanNotes(sources=frozenset({"10.0.0.1", "10.0.0.2", "10.0.0.3"}))})
    sources = registry.scans.totals("one")["one"].notes.sources
    assert sources == {"10.0.0.1", "10.0.0.2", r"x\x0a" + "y" * 59}


def test_a_batch_has_a_statement_a_kind(registry: Registry, statements: list[str]) -> None:
    """Never one a stream, nor one a target."""
    targets = [Untested(id_, 1.0, "192.0.2.1", port, "cut", "") for port in range(1, 500) for id_ in ("one", "two")]
    notes = ScanNotes(500, 1, 1, dict.fromkeys(range(9), 1), frozenset({"10.0.0.1", "10.0.0.2"}))
    registry.scans.note({"one": notes, "two": notes})
    registry.scans.add_untested(targets)
    registry.scans.begin_gaps({"one": 1.0, "two": 1.0})
    registry.scans.end_gaps({"one": 2.0, "two": 2.0})
    registry.scans.touch({"one": 2.0, "two": 2.0})
    kinds = [statement.split("(")[0].split(" SET ")[0] for statement in statements if "SELECT" not in statement]
    assert kinds == [
        *("UPDATE scans", "INSERT INTO scan_results ", "INSERT INTO scan_sources "),
        *("UPDATE scans", "INSERT INTO untested "),
        *("INSERT INTO gaps ", "UPDATE gaps", "UPDATE scans"),
    ]
    assert len(statements) - len(kinds) == 6, "and what is asked before them does not grow either"


def test_none_of_it_makes_the_proxy_read_its_registry_anew(registry: Registry) -> None:
    before = registry.generation
    registry.scans.note({"one": ScanNotes(1)})
    registry.scans.add_untested([Untested("one", 1.0, "192.0.2.1", 1, "cut", "")])
    registry.scans.begin_gaps({"one": 1.0})
    registry.scans.end_gaps({"one": 1.0})
    registry.scans.touch({"one": 1.0})
    registry.scans.prune(1.0)
    assert registry.generation == before
