"""The registry in a running Proxy: other processes' changes, our own, start and stop."""

import subprocess
import sys

import pytest
import pytest_twisted
from twisted.internet import defer, reactor
from twisted.python.failure import Failure

from socksfusion.registry.schema import Seen, Snapshot
from socksfusion.registry.store import RefusedChange, Registry, RegistryError
from socksfusion.registry.watch import RegistryWatch
from tests.registry.conftest import OLD
from tests.registry.stepped import BusyThread, SameThread, SteppedReactor, poll


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


def test_a_command_learns_when_the_proxy_goes_by_its_change(
    watch: RegistryWatch, registry: Registry, clock: SteppedReactor
) -> None:
    registry.set_port("acme", 1081)
    assert registry.is_heard(), "nobody serves, who could know"
    watch.startService()
    clock.advance(0)
    assert registry.is_heard(), "it was read at the start"
    registry.revoke_agent("acme")
    assert not registry.is_heard()
    poll(clock)
    assert registry.is_heard()


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


def test_a_second_proxy_does_not_start(watch: RegistryWatch, registry: Registry, clock: SteppedReactor) -> None:
    """It would write gaps into scans of the first, which has none."""
    watch.startService()
    second = RegistryWatch(SteppedReactor(), registry.path, SameThread())
    with pytest.raises(RegistryError, match=r"another Proxy works with the state folder .*; end that one first"):
        second.startService()
    watch.stopService()
    clock.advance(0)
    second.startService()
    second.stopService()


def test_stop_without_a_start(watch: RegistryWatch) -> None:
    stopped: list[object] = []
    watch.stopService().addCallback(stopped.append)
    assert stopped == [None]


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
