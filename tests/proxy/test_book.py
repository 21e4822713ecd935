"""The book: what is written, when, and that a registry that fails ends nothing."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from socksfusion import limits
from socksfusion.proxy.book import Book
from socksfusion.registry.database import RefusedChange
from socksfusion.registry.schema import Scan, ScanNotes, Seen, Snapshot, Untested

SCAN = Scan("0123", "acme", 1.0, None, 1.0)


class FakeWatch:
    """Writes down what the registry is asked to do."""

    def __init__(self) -> None:
        self.snapshot = Snapshot({}, {}, {})
        self.ran: list[tuple[Any, ...]] = []
        self.turns = 0
        self.error: Exception | None = None
        self.failing: str | None = None
        """The one method that fails; None: all of them."""
        scans = ("start", "end", "touch", "note", "add_untested", "begin_gaps", "end_gaps", "set_port_trouble")
        self.registry = SimpleNamespace(
            **{name: self._method(name) for name in ("activate", "write_seen", "set_paused", "set_uninstalled")},
            scans=SimpleNamespace(**{name: self._method(name) for name in scans}),
            clients=SimpleNamespace(write_seen=self._method("clients.write_seen")),
        )
        self.slow: list[Callable[[], None]] | None = None
        """What waits for the thread, where it is busy."""

    def _method(self, name: str) -> Callable[..., None]:
        def method(*arguments: Any) -> None:
            # as they are now: what a thread works with must not change meanwhile
            self.ran.append((name, *copy.deepcopy(arguments)))
            if self.error is not None and self.failing in (None, name):
                raise self.error

        return method

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        self.turns += 1
        if self.slow is None:
            return execute(function, *arguments)
        answer: Deferred[Any] = Deferred()
        self.slow.append(lambda: execute(function, *arguments).chainDeferred(answer))
        return answer


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
    book.scan_ended("4567", 4.0, "idle")
    assert written.watch.ran == [("start", SCAN), ("end", "4567", 4.0, "idle")]
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert written.watch.ran[2:] == [("touch", {"0123": 3.0})]


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
    assert (written.watch.turns, written.watch.ran, done) == (1, [], [None])


def test_a_registry_that_fails_is_told_and_ends_nothing(written: Written) -> None:
    written.watch.error = OSError("disk full")
    written.book.seen("acme", "192.0.2.1:1", "test/1", 5.0)
    written.book.scan_started(SCAN)
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    written.watch.error = None
    written.book.seen("acme", "192.0.2.1:1", "test/1", 6.0)
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert [name for name, *_ in written.watch.ran] == ["start", "start", "write_seen", "start", "write_seen"]


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
        ("touch", {"0123": 3.0, "4567": 2.0}),
    ]
    clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert len(watch.ran) == 2
    assert told[1:] == ["the registry can be written again"]


def test_what_is_left_is_written_at_the_end_which_waits_for_it(written: Written) -> None:
    book, watch = written.book, written.watch
    watch.slow = []
    book.left("acme", "stopped", 5.0)
    book.gap_began("0123", 5.0)
    book.scan_noted("0123", ScanNotes(streams=1))
    book.scan_left_untested([untested(80)])
    stopped: list[Any] = []
    book.stopService().addCallback(stopped.append)
    assert not written.clock.getDelayedCalls()
    *others, last = watch.slow
    for run in others:
        run()
    assert stopped == []
    last()
    assert len(stopped) == 1
    assert sorted(name for name, *_ in watch.ran) == ["add_untested", "begin_gaps", "note", "write_seen"]


def test_who_has_much_to_note_is_asked_before_each_batch(written: Written) -> None:
    written.book.before_writing.append(lambda: written.book.scan_noted("0123", ScanNotes(streams=1)))
    for _ in range(2):
        written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert written.watch.ran == [("note", {"0123": ScanNotes(streams=1)})] * 2


def untested(port: int) -> Untested:
    return Untested("0123", 1.0, "10.0.0.1", port, "cut", "cable out")


def test_clients_that_open_are_noted_once_a_batch(written: Written) -> None:
    for wall in (1.0, 2.0):
        written.book.client_seen("alice", wall)
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert written.watch.ran == [("clients.write_seen", {"alice": 2.0})]


class TestScans:
    """What scans found is added up; begin, end and gaps keep their order."""

    def test_a_batch_a_kind(self, written: Written) -> None:
        for number in range(100):
            written.book.scan_noted("0123", ScanNotes(1, 2, 3, {0: 1}, frozenset({"10.0.0.9"})))
            written.book.scan_noted("4567", ScanNotes(results={5: 1, number % 2: 1}))
            written.book.scan_left_untested([untested(number)])
        assert written.watch.ran == []
        written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
        assert written.watch.ran == [
            (
                "note",
                {
                    "0123": ScanNotes(100, 200, 300, {0: 100}, frozenset({"10.0.0.9"})),
                    "4567": ScanNotes(results={5: 100, 0: 50, 1: 50}),
                },
            ),
            ("add_untested", [untested(number) for number in range(100)]),
        ]

    def test_j2_one_scans_flood_does_not_hide_what_another_left(
        self, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "UNTESTED_PER_SCAN", 3)
        other = replace(untested(9), scan="4567")
        written.watch.error = OSError("disk full")
        written.book.scan_left_untested([untested(number) for number in range(10)])
        written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
        written.book.scan_left_untested([other, other])
        written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
        written.watch.error = None
        written.watch.ran.clear()
        written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
        assert written.watch.ran == [("add_untested", [untested(0), untested(1), untested(2), other])]

    def test_h2_nothing_is_lost_and_nothing_counted_twice_where_the_registry_fails(self, written: Written) -> None:
        book, watch, clock = written.book, written.watch, written.clock
        watch.error = OSError("disk full")
        book.scan_started(SCAN)
        book.gap_began("0123", 2.0)
        book.scan_noted("0123", ScanNotes(streams=1, results={0: 1}))
        book.scan_left_untested([untested(1)])
        for _ in range(3):
            clock.advance(limits.REGISTRY_WRITE_SECONDS)
        book.gap_ended("0123", 3.0)
        book.scan_ended("0123", 4.0, "idle")
        book.scan_noted("0123", ScanNotes(streams=2, results={0: 2}))
        book.scan_left_untested([untested(2)])
        watch.error = None
        watch.ran.clear()
        for _ in range(3):
            clock.advance(limits.REGISTRY_WRITE_SECONDS)
        assert watch.ran == [
            ("start", SCAN),
            ("begin_gaps", {"0123": 2.0}),
            ("end_gaps", {"0123": 3.0}),
            ("end", "0123", 4.0, "idle"),
            ("note", {"0123": ScanNotes(streams=3, results={0: 3})}),
            ("add_untested", [untested(1), untested(2)]),
        ]

    def test_changes_that_come_while_others_are_written_go_in_one_turn_and_in_order(self, written: Written) -> None:
        watch = written.watch
        watch.slow = []
        written.book.scan_started(SCAN)
        written.book.gap_began("0123", 2.0)
        written.book.scan_ended("0123", 3.0, "idle")
        assert len(watch.slow) == 1
        watch.slow[0]()
        assert [name for name, *_ in watch.ran] == ["start"]
        watch.slow[1]()
        assert [name for name, *_ in watch.ran] == ["start", "begin_gaps", "end"]
        assert watch.turns == 2

    def test_a_change_that_fails_does_not_come_after_what_followed_it(self, written: Written) -> None:
        watch = written.watch
        watch.slow, watch.error, watch.failing = [], OSError("disk full"), "begin_gaps"
        written.book.scan_started(SCAN)
        written.book.gap_began("0123", 2.0)
        written.book.scan_ended("0123", 3.0, "idle")
        watch.slow[0]()
        watch.slow[1]()
        assert [name for name, *_ in watch.ran] == ["start", "begin_gaps"]
        watch.slow, watch.error = None, None
        watch.ran.clear()
        written.book.scan_ended("4567", 4.0, "idle")
        assert [change[:2] for change in watch.ran] == [
            ("begin_gaps", {"0123": 2.0}),
            ("end", "0123"),
            ("end", "4567"),
        ]

    def test_gaps_of_many_scans_are_one_batch_and_those_of_one_keep_their_order(self, written: Written) -> None:
        book = written.book
        for scan in ("a", "b", "c"):
            book.gap_began(scan, 1.0)
        for scan in ("b", "c"):
            book.gap_ended(scan, 2.0)
        book.gap_began("b", 3.0)
        written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
        assert written.watch.ran == [
            ("begin_gaps", {"a": 1.0, "b": 1.0, "c": 1.0}),
            ("end_gaps", {"b": 2.0, "c": 2.0}),
            ("begin_gaps", {"b": 3.0}),
        ]

    def test_what_is_being_written_does_not_change(self, written: Written) -> None:
        watch = written.watch
        watch.slow = []
        written.book.gap_began("a", 1.0)
        written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
        written.book.gap_began("b", 2.0)
        watch.slow[0]()
        watch.slow[1]()
        assert watch.ran == [("begin_gaps", {"a": 1.0}), ("begin_gaps", {"b": 2.0})]

    def test_what_the_registry_refuses_is_told_and_holds_nothing_up(self, written: Written, told: list[str]) -> None:
        written.watch.error = RefusedChange("there is no agent acme")
        written.book.scan_started(SCAN)
        written.watch.error = None
        written.book.scan_ended("4567", 4.0, "idle")
        assert [name for name, *_ in written.watch.ran] == ["start", "end"]
        assert told == ["a change was not written: there is no agent acme"]

    def test_untested_targets_fill_no_memory_while_the_registry_fails(
        self, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "UNTESTED_PER_SCAN", 3)
        written.watch.error = OSError("disk full")
        for port in range(10):
            written.book.scan_left_untested([untested(port)])
            written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
        assert written.watch.ran[-1] == ("add_untested", [untested(0), untested(1), untested(2)])

    def test_why_a_port_is_closed(self, written: Written) -> None:
        written.book.scan_port_trouble("0123", "in use")
        assert written.watch.ran == [("set_port_trouble", "0123", "in use")]


def test_an_admins_word_is_written_at_once_and_again_where_that_fails(written: Written) -> None:
    written.watch.error = OSError("disk full")
    written.book.paused("acme", True, 5.0)
    written.book.uninstalled("acme", False)
    written.watch.error = None
    written.watch.ran.clear()
    written.clock.advance(limits.REGISTRY_WRITE_SECONDS)
    assert written.watch.ran == [("set_paused", "acme", True, 5.0), ("set_uninstalled", "acme", False)]
