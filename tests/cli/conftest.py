"""`socksfusion` with a state folder, in this process (fast) or as a real one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from socksfusion.cli.main import main
from socksfusion.identity.state import StateFolder
from socksfusion.registry.store import Registry

Command = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


@pytest.fixture
def run(folder: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process, in a folder of its own, with the state folder named by the environment."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("SOCKSFUSION_STATE", str(folder.path))

    def command(*arguments: str) -> Result:
        result = CliRunner().invoke(main, arguments, prog_name="socksfusion")
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return command


@pytest.fixture
def ready(run: Command) -> Command:
    """The same with a state folder that is made already."""
    assert run("init", "--name", "proxy.example.org").exit_code == 0
    return run


@pytest.fixture
def registry(ready: Command, folder: StateFolder) -> Registry:
    return Registry.open(folder.registry_file)


def told(result: Result) -> str:
    """The one line of an error."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("socksfusion: ")
    return lines[0]


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `socksfusion` as a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SOCKSFUSION_")}
    command = [sys.executable, "-m", "socksfusion.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**clean, **environment}, check=False)
