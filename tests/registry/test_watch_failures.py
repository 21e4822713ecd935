"""The registry in a running Proxy, where something is wrong with it."""

from pathlib import Path

import pytest
from twisted.python.failure import Failure

from socksfusion.registry.schema import Snapshot
from socksfusion.registry.store import RefusedChange, Registry, RegistryError
from socksfusion.registry.watch import RegistryWatch
from tests.registry.conftest import NEW, OLD
from tests.registry.stepped import SameThread, SteppedReactor, poll


def test_run_fails_with_what_was_raised(watch: RegistryWatch, clock: SteppedReactor) -> None:
    watch.startService()
    failures: list[Failure] = []
    watch.run(watch.registry.renew_agent, "nobody", NEW).addErrback(failures.append)
    clock.advance(0)
    assert failures[0].check(RefusedChange)


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


def test_a_bad_registry_fails_the_start(tmp_path: Path, clock: SteppedReactor) -> None:
    with pytest.raises(RegistryError, match="is missing"):
        RegistryWatch(clock, tmp_path / "none", SameThread()).startService()


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
