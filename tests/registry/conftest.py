"""A fresh registry, and the keys that tests give to agents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel, globalLogPublisher

from socksfusion.registry.schema import Snapshot
from socksfusion.registry.store import Registry
from socksfusion.registry.watch import RegistryWatch
from tests.registry.stepped import SameThread, SteppedReactor

OLD, NEW, NEWER, STRANGE = (bytes([number]) * 32 for number in range(1, 5))


class Now:
    """A clock that tests set, in Unix seconds."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def registry(tmp_path: Path, now: Now) -> Iterator[Registry]:
    with Registry.create(tmp_path / "registry.sqlite", now) as registry:
        yield registry


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
