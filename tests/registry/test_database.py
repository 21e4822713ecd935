"""Rows H1 and H2: the file on a bad day."""

import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from socksfusion import limits
from socksfusion.exit_codes import ExitCode
from socksfusion.registry import database
from socksfusion.registry.store import Registry, RegistryError
from tests.registry.conftest import NEW, OLD

_WRITER = """
import sys
from pathlib import Path
from socksfusion.registry.store import Registry

registry = Registry.open(Path(sys.argv[1]))
for number in range(100_000):
    name = f"{sys.argv[2]}-{number}"
    registry.add_agent(name, name.encode().ljust(32))
    print(name, flush=True)
"""


def pragma(registry: Registry, name: str) -> object:
    cursor = registry._session.connection.connection.cursor()
    return cursor.execute(f"PRAGMA {name}").fetchone()[0]


def test_settings(registry: Registry) -> None:
    assert pragma(registry, "journal_mode") == "wal"
    assert pragma(registry, "synchronous") == 2, "FULL"
    assert pragma(registry, "foreign_keys") == 1
    assert pragma(registry, "busy_timeout") == limits.REGISTRY_BUSY_SECONDS * 1000
    assert stat.S_IMODE(registry.path.stat().st_mode) == 0o600


def test_what_was_acknowledged_survives_kill_9(registry: Registry) -> None:
    """Row H1: a writer is killed in the midst of its work, several times."""
    acknowledged: set[str] = set()
    for round_ in range(4):
        command = [sys.executable, "-c", _WRITER, str(registry.path), f"round{round_}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged.update(writer.stdout.readline().strip() for _ in range(5 + 3 * round_))
            writer.send_signal(signal.SIGKILL)
            acknowledged.update(line.strip() for line in writer.stdout if line.endswith("\n"))
        with Registry.open(registry.path) as reopened:
            names = {agent.name for agent in reopened.agents()}
        assert acknowledged <= names
        assert len(names) <= len(acknowledged) + round_ + 1, "one a round may be written and not yet told"


@pytest.mark.parametrize("place", [0, 100, 4096, 8192, 20480])
def test_a_damaged_file_is_told_and_kept(registry: Registry, place: int) -> None:
    """Row H1."""
    registry.add_agent("acme", OLD)
    registry.close()
    with open(registry.path, "r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 2000)
    before = registry.path.read_bytes()
    with pytest.raises(RegistryError, match=r"is damaged .* left as it is: restore") as caught:
        Registry.open(registry.path)
    assert caught.value.exit_code is ExitCode.STATE
    assert "\n" not in str(caught.value)
    assert registry.path.read_bytes() == before


def test_half_a_file(registry: Registry) -> None:
    registry.close()
    data = registry.path.read_bytes()
    registry.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(RegistryError, match="is damaged"):
        Registry.open(registry.path)


def test_no_file_and_no_registry(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="is missing"):
        Registry.open(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(RegistryError, match="is no registry"):
        Registry.open(tmp_path / "empty")
    sqlite3.connect(tmp_path / "foreign").execute("CREATE TABLE agents (name)")
    with pytest.raises(RegistryError, match="is no registry"):
        Registry.open(tmp_path / "foreign")


def test_another_writer_is_waited_for_then_told(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row H2: a lock."""
    registry.add_agent("acme", OLD)
    monkeypatch.setattr(limits, "REGISTRY_BUSY_SECONDS", 0.05)
    other = sqlite3.connect(registry.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Registry.open(registry.path) as impatient:
        with pytest.raises(RegistryError, match="another process is writing"):
            impatient.revoke_agent("acme")
        assert not impatient.agent("acme").revoked, "reading goes on, and nothing was changed"
        other.execute("ROLLBACK")
        assert impatient.revoke_agent("acme")
    other.close()


def test_a_place_without_a_write_ahead_log_is_refused(tmp_path: Path) -> None:
    """Row H2: what SQLite says is read back. In memory it keeps the journal mode `memory`."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(RegistryError, match=r"journal mode memory.*local disk"):
        database._settle(connection, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can't be mounted here (needs root)")
    return place


def fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))


def add_many(registry: Registry) -> None:
    for number in range(1000):
        registry.add_agent(f"a{number}", number.to_bytes(32, "big"))


def test_a_full_disk(small_disk: Path) -> None:
    """Row H2."""
    try:
        with Registry.create(small_disk / "registry.sqlite") as registry:
            registry.add_agent("acme", OLD)
            fill(small_disk / "ballast")
            with pytest.raises(RegistryError, match="disk is full; make room"):
                add_many(registry)
            names = {agent.name for agent in registry.agents()}
            (small_disk / "ballast").unlink()
            assert {agent.name for agent in registry.agents()} == names
            registry.add_agent("later", NEW)
    finally:
        subprocess.run(["umount", str(small_disk)], check=True)
