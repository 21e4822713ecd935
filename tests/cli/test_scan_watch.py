import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from socksfusion.cli.scan_watch import watch
from socksfusion.identity.state import StateFolder
from socksfusion.registry.schema import Scan, ScanNotes
from socksfusion.registry.store import Registry
from tests.cli.conftest import Command


class Steps:
    """A clock whose sleeps are the test's: each does the next thing."""

    def __init__(self, *things: Callable[[], object]) -> None:
        self._things = list(things)
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._things.pop(0)()

    def seconds(self) -> float:
        return self.now


@pytest.fixture
def running(ready: Command, registry: Registry) -> Registry:
    ready("agent", "add", "acme")
    registry.scans.start(Scan("one", "acme", 1000.0, None, 1000.0))
    registry.scans.note({"one": ScanNotes(1, results={0: 1})})
    return registry


def test_a_line_a_change_until_it_ends(running: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(
        lambda: running.scans.note({"one": ScanNotes(2, results={0: 2, 5: 206, 6: 1, 1: 1})}),
        lambda: None,
        lambda: None,
        lambda: running.scans.end("one", 1090.0, "stopped"),
    )
    watch(running, "one", sleep=steps.sleep, seconds=steps.seconds)
    lines = [line.split("  ", 1) for line in capsys.readouterr().out.splitlines()]
    assert [line for _, line in lines] == [
        "streams 1  0/s  open 1  closed 0  filtered 0  not tested 0  cut 0",
        "streams 3  210/s  open 3  closed 206  filtered 1  not tested 1  cut 0",
        "streams 3  0/s  open 3  closed 206  filtered 1  not tested 1  cut 0",
        "streams 3  0/s  open 3  closed 206  filtered 1  not tested 1  cut 0",
    ]
    assert lines[-1][0] == "stopped 1m30s"
    assert lines[0][0].startswith("running ")


def test_on_a_terminal_it_is_one_line(
    running: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    steps = Steps(lambda: None, lambda: running.scans.end("one", 1090.0, "idle"))
    watch(running, "one", sleep=steps.sleep, seconds=steps.seconds)
    out = capsys.readouterr().out
    assert out.count("\r") == 3
    assert out.count("\n") == 1
    assert out.endswith("\n")


def test_it_ends_when_the_time_is_over_without_a_proxy(running: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    running.scans.start(Scan("two", "acme", 5.0, None, 5.0, until=10.0))
    steps = Steps(lambda: None)
    watch(running, "two", sleep=steps.sleep, seconds=steps.seconds)
    assert capsys.readouterr().out.splitlines()[-1].startswith("over 5s  ")


def test_as_a_process_it_sees_what_another_writes(running: Registry, folder: StateFolder) -> None:
    command = [sys.executable, "-m", "socksfusion.cli.main", "scan", "watch", "one"]
    environment = {**os.environ, "SOCKSFUSION_STATE": str(folder.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert "open 1 " in process.stdout.readline()
        running.scans.end("one", 1090.0, "stopped")
        rest = process.stdout.read()
        assert re.match(r"stopped 1m30s  streams 1 ", rest)
        assert process.wait() == 0
