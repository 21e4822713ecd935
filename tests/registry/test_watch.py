"""The registry in a running Proxy: other processes' changes, our own, failures, start and stop."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer, reactor
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.registry.schema import Seen, Snapshot
from socksfusion.registry.store import RefusedChange, Registry, RegistryError
from socksfusion.registry.watch import RegistryWatch
from tests.registry.conftest import NEW, OLD


class SteppedReactor(Clock):
    """A Clock whose callFromThread runs in the next turn, as the real one's does."""

    def callFromThread(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        self.callLater(0, function, *arguments, **named)


class SameThread:
    """A thread pool that does the work at once, in this thread."""

    def __init__(self) -> None:
        self.runs = False

    def start(self) -> None:
        self.runs = True

    def stop(self) -> None:
        self.runs = False

    def callInThreadWithCallback(self, on_result: Any, function: Callable[..., Any], *args: Any, **named: Any) -> None:
        try:
            result = function(*args, **named)
        except BaseException:
            on_result(False, Failure())
        else:
            on_result(True, result)


class BusyThread(SameThread):
    """The same, but what comes waits until ``go_on``, as behind a long call."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Any, ...]] = []

    def callInThreadWithCallback(self, *call: Any, **named: Any) -> None:
        self.waiting.append((call, named))

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for call, named in waiting:
            super().callInThreadWithCallback(*call, **named)


@pytest.fixture
def clock() -> SteppedReactor:
    return SteppedReactor()


@pytest.fixture
def threads() -> SameThread:
    return SameThread()


@pytest.fixture
def watch(registry: Registry, clock: SteppedReactor, threads: SameThread) -> RegistryWatch:
    registry.add_agent("acme", OLD)
    return RegistryWatch(clock, registry.path, threads)


@pytest.fixture
def seen(watch: RegistryWatch) -> list[Snapshot]:
    snapshots: list[Snapshot] = []
    watch.observe(snapshots.append)
    return snapshots


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    def note(event: Any) -> None:
        if event["log_level"] >= LogLevel.info and event["log_namespace"].startswith("socksfusion"):
            lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


def poll(clock: SteppedReactor) -> None:
    clock.advance(limits.REGISTRY_POLL_SECONDS)
    clock.advance(0)


def test_the_snapshot_is_there_from_the_start(watch: RegistryWatch, seen: list[Snapshot]) -> None:
    watch.startService()
    assert list(watch.snapshot.agents) == ["acme"]
    assert seen == []


def test_a_change_of_another_process_arrives(
    watch: RegistryWatch, seen: list[Snapshot], registry: Registry, clock: SteppedReactor
) -> None:
    watch.startService()
    poll(clock)
    assert seen == []
    registry.revoke_agent("acme")
    poll(clock)
    assert [snapshot.agents["acme"].revoked for snapshot in seen] == [True]
    assert watch.snapshot is seen[0]
    poll(clock)
    assert len(seen) == 1


def test_run_answers_when_the_snapshot_shows_it(
    watch: RegistryWatch, seen: list[Snapshot], clock: SteppedReactor
) -> None:
    watch.startService()
    states: list[str] = []
    answer = watch.run(watch.registry.activate, OLD)
    answer.addCallback(lambda _key: states.append(watch.snapshot.keys[OLD].state))
    clock.advance(0)
    assert states == ["active"]
    assert len(seen) == 1
    poll(clock)
    assert len(seen) == 1


def test_notes_of_the_proxys_own_load_nothing(
    watch: RegistryWatch, seen: list[Snapshot], clock: SteppedReactor
) -> None:
    watch.startService()
    watch.run(watch.registry.write_seen, [Seen("acme", at=1.0)])
    poll(clock)
    assert seen == []


def test_run_fails_with_what_was_raised(watch: RegistryWatch, clock: SteppedReactor) -> None:
    watch.startService()
    failures: list[Failure] = []
    watch.run(watch.registry.renew_agent, "nobody", NEW).addErrback(failures.append)
    clock.advance(0)
    assert failures[0].check(RefusedChange)


def test_many_calls_that_wait_are_followed_by_one_reading(
    registry: Registry, clock: SteppedReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first enrolment of many agents at once: a reading for each activation would make it quadratic."""
    digests = [bytes([number]) * 32 for number in range(50)]
    for number, digest in enumerate(digests):
        registry.add_agent(f"agent-{number}", digest)
    threads = BusyThread()
    watch = RegistryWatch(clock, registry.path, threads)
    watch.startService()
    readings: list[Snapshot] = []
    watch.observe(readings.append)
    read = Registry.snapshot
    count: list[None] = []

    def counted(of: Registry) -> Snapshot:
        count.append(None)
        return read(of)

    monkeypatch.setattr(Registry, "snapshot", counted)
    states: list[str] = []
    failures: list[Failure] = []
    for digest in digests:
        answer = watch.run(watch.registry.activate, digest)
        answer.addCallback(lambda key: states.append(watch.snapshot.keys[key.digest].state))
        watch.run(watch.registry.set_token, "nobody", digest).addErrback(failures.append)
    threads.go_on()
    clock.advance(0)
    assert states == ["active"] * 50
    assert [failure.check(RefusedChange) for failure in failures] == [RefusedChange] * 50
    assert len(count) == len(readings) == 1


def test_calls_that_wait_are_done_before_the_registry_is_closed(registry: Registry, clock: SteppedReactor) -> None:
    registry.add_agent("acme", OLD)
    threads = BusyThread()
    watch = RegistryWatch(clock, registry.path, threads)
    watch.startService()
    answers: list[object] = []
    watch.run(watch.registry.revoke_agent, "acme").addCallback(answers.append)
    watch.stopService().addCallback(answers.append)
    threads.go_on()
    clock.advance(0)
    assert answers == [True, None]
    assert registry.agent("acme").revoked


def test_a_failing_observer_stops_nobody(
    watch: RegistryWatch, registry: Registry, clock: SteppedReactor, logged: list[str]
) -> None:
    def fails(_snapshot: Snapshot) -> None:
        raise RuntimeError("a bug")

    after: list[Snapshot] = []
    watch.observe(fails)
    watch.observe(after.append)
    watch.startService()
    registry.revoke_agent("acme")
    poll(clock)
    assert len(after) == 1
    assert logged == ["an observer of the registry failed"]


def test_errors_are_logged_once_and_the_snapshot_stays(
    watch: RegistryWatch,
    registry: Registry,
    seen: list[Snapshot],
    clock: SteppedReactor,
    logged: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row H2: traffic lives on what was read before."""
    watch.startService()
    before = watch.snapshot

    def fails(_registry: Registry) -> int:
        raise RegistryError("the registry x: the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(Registry, "data_version", fails)
        for _ in range(5):
            poll(clock)
    assert logged == ["the registry x: the disk is gone; going on with what was read before"]
    assert watch.snapshot is before
    registry.revoke_agent("acme")
    poll(clock)
    assert logged[1:] == ["the registry can be read again"]
    assert len(seen) == 1


def test_a_file_that_was_put_in_its_place_is_read(
    watch: RegistryWatch, seen: list[Snapshot], registry: Registry, clock: SteppedReactor, tmp_path: Path
) -> None:
    """Row H2: a backup comes back while the Proxy runs. What is revoked in it must be shut out."""
    watch.startService()
    with Registry.create(tmp_path / "backup.sqlite") as backup:
        backup.add_agent("acme", OLD)
    for name in ("registry.sqlite-wal", "registry.sqlite-shm"):
        (tmp_path / name).unlink()
    (tmp_path / "backup.sqlite").rename(registry.path)
    poll(clock)
    assert len(seen) == 1
    with Registry.open(registry.path) as other:
        other.revoke_agent("acme")
        poll(clock)
        assert seen[-1].agents["acme"].revoked
        assert other.is_served()
        answers: list[object] = []
        watch.run(watch.registry.restore_agent, "acme").addCallback(answers.append)
        clock.advance(0)
        assert answers == [True]
        assert not other.agent("acme").revoked


def test_a_file_that_is_gone_is_told_once_and_nothing_is_written_to_it(
    watch: RegistryWatch, registry: Registry, clock: SteppedReactor, logged: list[str], tmp_path: Path
) -> None:
    """Row H2: SQLite itself would go on with the deleted file."""
    watch.startService()
    before = watch.snapshot
    registry.path.rename(tmp_path / "elsewhere")
    for _ in range(3):
        poll(clock)
    assert len(logged) == 1
    assert "is missing; restore the state folder from a backup; going on with what was read before" in logged[0]
    assert watch.snapshot is before
    failures: list[Failure] = []
    watch.run(watch.registry.activate, OLD).addErrback(failures.append)
    clock.advance(0)
    assert failures[0].check(RegistryError)
    (tmp_path / "elsewhere").rename(registry.path)
    poll(clock)
    assert logged[1:] == ["the registry can be read again"]
    assert watch.snapshot.keys[OLD].state == "pending"


def test_a_bad_file_in_its_place_changes_nothing(
    watch: RegistryWatch, registry: Registry, clock: SteppedReactor, logged: list[str], tmp_path: Path
) -> None:
    watch.startService()
    (tmp_path / "bad").write_bytes(b"no database at all" * 100)
    (tmp_path / "bad").rename(registry.path)
    for name in ("registry.sqlite-wal", "registry.sqlite-shm"):
        (tmp_path / name).unlink()
    poll(clock)
    poll(clock)
    assert len(logged) == 1
    assert "is damaged" in logged[0]
    assert list(watch.snapshot.agents) == ["acme"]


def test_a_call_that_is_done_answers_although_the_next_look_fails(
    watch: RegistryWatch, clock: SteppedReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.startService()

    def fails(_registry: Registry) -> int:
        raise RegistryError("the disk is gone")

    monkeypatch.setattr(Registry, "data_version", fails)
    answers: list[object] = []
    watch.run(watch.registry.revoke_agent, "acme").addCallback(answers.append)
    clock.advance(0)
    assert answers == [True]


def test_stop_lets_go(
    watch: RegistryWatch, registry: Registry, clock: SteppedReactor, threads: SameThread, seen: list[Snapshot]
) -> None:
    watch.startService()
    assert registry.is_served()
    stopped: list[object] = []
    watch.stopService().addCallback(stopped.append)
    clock.advance(0)
    assert stopped == [None]
    assert not threads.runs
    assert not registry.is_served()
    assert not clock.getDelayedCalls()
    failures: list[Failure] = []
    watch.run(registry.activate, OLD).addErrback(failures.append)
    assert failures[0].check(RegistryError)


def test_stop_without_a_start(watch: RegistryWatch) -> None:
    stopped: list[object] = []
    watch.stopService().addCallback(stopped.append)
    assert stopped == [None]


def test_a_bad_registry_fails_the_start(tmp_path: Path, clock: SteppedReactor) -> None:
    with pytest.raises(RegistryError, match="is missing"):
        RegistryWatch(clock, tmp_path / "none", SameThread()).startService()


def test_a_second_proxy_is_told(
    watch: RegistryWatch, registry: Registry, clock: SteppedReactor, logged: list[str]
) -> None:
    watch.startService()
    RegistryWatch(clock, registry.path, SameThread()).startService()
    assert len(logged) == 1
    assert "another Proxy works with this state folder" in logged[0]


_REVOKE = """
import sys
from pathlib import Path
from socksfusion.registry.store import Registry

registry = Registry.open(Path(sys.argv[1]))
sys.stdin.readline()
registry.revoke_agent("acme")
"""


@pytest_twisted.ensureDeferred
async def test_a_real_reactor_thread_and_process(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    watch = RegistryWatch(reactor, registry.path)
    changed: defer.Deferred[Snapshot] = defer.Deferred()
    watch.observe(changed.callback)
    watch.startService()
    command = [sys.executable, "-c", _REVOKE, str(registry.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        try:
            other.communicate(b"\n")
            snapshot = await changed.addTimeout(10, reactor)
            assert snapshot.agents["acme"].revoked
        finally:
            await watch.stopService()


def test_one_that_could_not_start_can_be_stopped(
    watch: RegistryWatch, registry: Registry, clock: SteppedReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program stops all its services; this one must not wait for a thread that never ran."""

    def fails(_registry: Registry) -> Snapshot:
        raise RegistryError("the disk is gone")

    monkeypatch.setattr(Registry, "snapshot", fails)
    with pytest.raises(RegistryError):
        watch.startService()
    stopped: list[object] = []
    watch.stopService().addCallback(stopped.append)
    assert stopped == [None]
    assert not registry.is_served()
    assert not clock.getDelayedCalls()
