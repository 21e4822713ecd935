"""``./demo`` shows the whole way, and leaves nothing running."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.install, pytest.mark.timeout(300)]


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [ROOT / "demo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        restore_signals=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def processes_of(group: int) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            pass
    return found


def test_it_shows_the_whole_way_and_ends() -> None:
    with start() as demo:
        shown, _ = demo.communicate(timeout=280)
    assert demo.returncode == 0, shown
    assert "\nHello from behind the firewall.\n" in shown
    for message in ("Connecting to server...", "Connection established", "Scan is started"):
        assert re.search(rf"^\d{{4}}-\d\d-\d\dT[\d:.]+\+\d\d:\d\d {re.escape(message)}$", shown, re.MULTILINE), shown
    assert re.search(r"^demo +connected ", shown, re.MULTILINE), shown
    assert processes_of(demo.pid) == []


def test_it_stays_until_ctrl_c() -> None:
    with start("--stay") as demo:
        assert demo.stdout is not None
        shown = ""
        for line in demo.stdout:
            shown += line
            if "agent restore demo" in line:
                break
        assert "Up until Ctrl-C" in shown, shown
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert processes_of(demo.pid) == []


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--bogus", 2)])
def test_help_is_asked_for_or_told(argument: str, code: int) -> None:
    with start(argument) as demo:
        shown, _ = demo.communicate(timeout=30)
    assert demo.returncode == code
    assert "--stay" in shown
