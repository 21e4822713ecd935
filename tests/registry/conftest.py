"""A fresh registry, and the keys that tests give to agents."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from socksfusion.registry.store import Registry

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
