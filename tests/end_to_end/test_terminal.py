"""What a person sees of the Agent on a real terminal, and what a pipe gets."""

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.network import Target, echo, socks_connect, socks_open
from tests.end_to_end.programs import PATIENCE_SECONDS, TWISTD, Installation, free_port

WIDTH = 100
LIVE = re.compile(r"(connecting|serving|scanning|paused) \| (no scan|scan \S+) \| \d+ streams \| [\d.]+ \w?i?B/s.*")
LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d{4} \[.*")
MESSAGE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[-+]\d\d:\d\d [A-Z].*")


class Terminal:
    """A pseudo-terminal, and what its screen shows of what was written to it."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
        self.raw = ""

    @property
    def lines(self) -> list[str]:
        """The screen, had it no end."""
        rows, column = [""], 0
        for part in re.findall(r"\r|\n|\x1b\[K|[^\r\n\x1b]+|\x1b", self.raw):
            if part == "\r":
                column = 0
            elif part == "\n":
                rows.append("")
                column = 0
            elif part == "\x1b[K":
                rows[-1] = rows[-1][:column]
            else:
                assert part != "\x1b", "an escape that no terminal of ours knows"
                rows[-1] = rows[-1][:column] + part + rows[-1][column + len(part) :]
                column += len(part)
        return rows

    def wait(self, met: Callable[[list[str]], bool]) -> list[str]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not met(self.lines):
            assert time.monotonic() < deadline, self.lines
            if select.select([self.master], [], [], 0.1)[0]:
                self.raw += os.read(self.master, 65536).decode()
        return self.lines

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@contextmanager
def on_terminal(
    installed: Installation, copy: Path, *arguments: str, out: int | None = None
) -> "Iterator[tuple[Terminal, subprocess.Popen[bytes]]]":
    terminal = Terminal()
    command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "socksfusion-agent", "--copy", str(copy)]
    process = subprocess.Popen(
        [*command, "--allow", "127.0.0.0/8", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=terminal.slave if out is None else out,
        stderr=terminal.slave,
        cwd=installed.folder,
        env={**os.environ, "TERM": "xterm"},
    )
    try:
        yield terminal, process
    finally:
        process.kill()
        process.wait()
        terminal.close()


def test_a_live_line_stands_under_messages_and_log_and_garbles_neither(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    with Target(echo) as target, on_terminal(installed, copy) as (terminal, agent):
        terminal.wait(lambda lines: lines[-1].startswith("serving | no scan | 0 streams | "))
        with socks_connect(installed.clients_port, "127.0.0.1", target.port):
            terminal.wait(lambda lines: re.match(r"scanning \| scan \S+ \| 1 streams", lines[-1]) is not None)
            code, client = socks_open(installed.clients_port, "127.0.0.1", free_port())
            client.close()
            assert code == 5
            lines = terminal.wait(lambda lines: any("Target is unreachable: 127.0.0.1:" in line for line in lines))
            terminal.wait(lambda lines: LIVE.fullmatch(lines[-1]) is not None)
        assert len(lines[-1]) < WIDTH
        agent.send_signal(signal.SIGTERM)
        agent.wait(PATIENCE_SECONDS)
        *above, last = terminal.wait(lambda lines: "Server Shut Down" in "".join(lines) and lines[-1] == "")
    assert last == "", "the terminal is the shell's again"
    assert [line for line in above if LIVE.match(line)] == []
    assert [line for line in above if not (LOGGED.fullmatch(line) or MESSAGE.fullmatch(line))] == []
    told = [line.split(" ", 1)[1] for line in above if MESSAGE.fullmatch(line)]
    assert told[:3] == ["Connecting to server...", "Connection established", "Scan is started"]


def test_the_last_words_of_the_program_stand_on_a_line_of_their_own(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    installed.admin("agent", "revoke", "demo")
    with on_terminal(installed, copy, "--exit-if-unregistered") as (terminal, agent):
        agent.wait(PATIENCE_SECONDS)
        lines = terminal.wait(lambda lines: lines[-1] == "" and "ask the Proxy's operator" in "".join(lines))
    assert [line for line in lines if line.startswith("socksfusion-agent: this agent is not registered")] != []


def test_a_pipe_gets_the_messages_alone_and_no_escapes_while_the_log_is_on_a_terminal(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    out = installed.folder / "out"
    with out.open("wb") as file, on_terminal(installed, copy, out=file.fileno()) as (terminal, _):
        terminal.wait(lambda lines: lines[-1].startswith("serving"))
    assert [line.split(" ", 1)[1] for line in out.read_text().splitlines()] == [
        "Connecting to server...",
        "Connection established",
    ]


def test_pipes_get_plain_lines(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    agent = installed.start_agent(copy)
    agent.stop()
    assert [line for line in agent.log if not LOGGED.fullmatch(line)] == []
    assert all("\x1b" not in line and "\r" not in line for line in agent.log + agent.out)


def test_the_logs_of_both_programs_as_json(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy("--log", "json")
    agent = installed.start_agent(copy, "--log", "json")
    for program in (agent, proxy):
        program.stop()
        events = [json.loads(line) for line in program.log]
        assert all(list(event) == ["time", "level", "source", "text"] for event in events)
        assert any(event["source"].startswith("socksfusion.") for event in events)
    assert agent.messages[:2] == ["Connecting to server...", "Connection established"]
