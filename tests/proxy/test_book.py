"""The book: what is written, when, and that a registry that fails ends nothing."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from socksfusion import limits
from socksfusion.proxy.book import Book
from socksfusion.registry.schema import Scan, Seen, Snapshot

SCAN = Scan("0123", "acme", 1.0, None, 1.0)


class FakeWatch:
    """Writes down what would run in the registry's thread."""

    def __init__(self) -> None:
        self.snapshot = Snapshot({}, {}, {})
        self.ran: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        names = ("activate", "write_seen", "touch_scans", "start_scan", "end_scan")
        self.registry = SimpleNamespace(**{name: name for name in names})

    def run(self, function: Any, *arguments: Any) -> Deferred[Any]:
        self.ran.append((function, *arguments))
        return fail(self.error) if self.error else succeed(None)


class Written:
    def __init__(self) -> None:
        self.clock, self.watch = Clock(), FakeWatch()
        self.book = Book(self.clock, self.watch)  # type: ignore[arg-type]
        self.book.startService()


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    lines: list[str] = []

    def note(event: Any) -> None:
        lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


def test_what_changes_often_is_one_statement_a_second(written: Written) -> None:
    book = written.book
    for number in range(100):
        book.seen(f"agent{number}", "192.0.2.1:1", "test/1", 5.0)
    book.left("agent0", "gone", 6.0)
    book.trouble("agent1", "refused")
    assert written.watch.ran == []
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    ((name, batch),) = written.watch.ran
    assert name == "write_seen"
    assert len(batch) == 100
    assert batch[0] == Seen("agent0", False, 6.0, "192.0.2.1:1", "test/1", "gone")
    assert batch[1] == Seen("agent1", True, 5.0, "192.0.2.1:1", "test/1", "refused")
    written.clock.advance(10)
    assert len(written.watch.ran) == 1


def test_a_trouble_alone_says_nothing_of_the_connection(written: Written) -> None:
    written.book.trouble("acme", "refused")
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert written.watch.ran == [("write_seen", [Seen("acme", error="refused")])]


def test_scans_begin_and_end_at_once_and_are_touched_in_batches(written: Written) -> None:
    book = written.book
    book.scan_started(SCAN)
    book.scans_touched({"0123": 2.0, "4567": 2.0})
    book.scans_touched({"0123": 3.0})
    book.scan_ended("4567", 4.0)
    assert written.watch.ran == [("start_scan", SCAN), ("end_scan", "4567", 4.0)]
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert written.watch.ran[2:] == [("touch_scans", {"0123": 3.0})]


def test_a_key_is_taken_up_at_once_and_its_failure_is_the_callers(written: Written) -> None:
    done: list[Any] = []
    written.book.activate(b"digest").addBoth(done.append)
    assert written.watch.ran == [("activate", b"digest")]
    assert done == [None]
    written.watch.error = OSError("disk full")
    written.book.activate(b"digest").addBoth(done.append)
    assert done[1].check(OSError)


def test_a_look_is_no_change(written: Written) -> None:
    done: list[Any] = []
    written.book.look().addBoth(done.append)
    ((function, *rest),) = written.watch.ran
    assert function() is None
    assert (rest, done) == ([], [None])


def test_a_registry_that_fails_is_told_and_ends_nothing(written: Written) -> None:
    written.watch.error = OSError("disk full")
    written.book.seen("acme", "192.0.2.1:1", "test/1", 5.0)
    written.book.scan_started(SCAN)
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    written.watch.error = None
    written.book.seen("acme", "192.0.2.1:1", "test/1", 6.0)
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert [name for name, *_ in written.watch.ran] == ["start_scan", "write_seen", "write_seen"]


def test_an_end_in_order_leaves_the_last_error(written: Written) -> None:
    written.book.trouble("acme", "refused")
    written.book.left("acme", None, 6.0)
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert written.watch.ran == [("write_seen", [Seen("acme", False, 6.0, error="refused")])]


def test_h2_what_could_not_be_written_is_written_later_under_what_is_newer(written: Written, told: list[str]) -> None:
    """A disk that was full for a while must not leave a wrong list of agents."""
    book, watch, clock = written.book, written.watch, written.clock
    watch.error = OSError("disk full")
    book.seen("acme", "192.0.2.1:1", "test/1", 5.0)
    book.left("other", "gone", 5.0)
    book.scans_touched({"0123": 2.0, "4567": 2.0})
    for _ in range(3):
        clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert told == ["the registry could not be written: disk full"]
    watch.error = None
    watch.ran.clear()
    book.left("acme", "gone", 9.0)
    book.scans_touched({"0123": 3.0})
    clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert watch.ran == [
        (
            "write_seen",
            [Seen("acme", False, 9.0, "192.0.2.1:1", "test/1", "gone"), Seen("other", False, 5.0, error="gone")],
        ),
        ("touch_scans", {"0123": 3.0, "4567": 2.0}),
    ]
    clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert len(watch.ran) == 2
    assert told[1:] == ["the registry can be written again"]


def test_what_is_left_is_written_at_the_end(written: Written) -> None:
    written.book.left("acme", "stopped", 5.0)
    written.book.stopService()
    assert [name for name, *_ in written.watch.ran] == ["write_seen"]
    assert not written.clock.getDelayedCalls()
