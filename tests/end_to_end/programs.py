"""The real programs as child processes: started, watched line by line, and ended again."""

import atexit
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

PATIENCE_SECONDS = 30.0
"""How long a test waits for what must come; it is no measurement, machines may be slow."""

CLAIMED_PORTS = 100
"""So many of the latest are held, more than any one test needs."""

# the script that pip makes for twistd, whatever folder it went to
TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; sys.exit(run())"


def wait_until(met: Callable[[], bool], what: Callable[[], object], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for what no line tells; fail with ``what`` where it does not come."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"{seconds:g} s are over: {what()}"
        time.sleep(0.02)


_claimed: deque[socket.socket] = deque()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on, and that stays this process's: no other test gets it, and no connection.

    It is held by a socket that doesn't listen, beside which a program that sets SO_REUSEADDR may listen, as servers do.
    """
    claim = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    claim.bind((host, 0))
    # only afterwards: the system would choose a port that another such socket has
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _claimed.append(claim)
    if len(_claimed) > CLAIMED_PORTS:
        _claimed.popleft().close()
    port: int = claim.getsockname()[1]
    return port


class Program:
    """A child process whose standard output and standard error are read as they come.

    ``out`` and ``log`` are the lines so far. ``wait_out`` and ``wait_log`` return the first line, from ``since`` on,
    that contains a text, and fail the test with everything that was written where it does not come.
    """

    def __init__(self, arguments: Sequence[str], *, environment: dict[str, str] | None = None, cwd: Path) -> None:
        self.arguments = arguments
        self.out: list[str] = []
        self.log: list[str] = []
        self._news: queue.Queue[None] = queue.Queue()
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.out), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.log), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def messages(self) -> list[str]:
        """What the Agent printed, without the times."""
        return [line.split(" ", 1)[1] for line in self.out]

    def wait_out(self, text: str, *, since: int = 0, seconds: float = PATIENCE_SECONDS) -> str:
        return self._wait(self.out, text, since, seconds)

    def wait_log(self, text: str, *, since: int = 0, seconds: float = PATIENCE_SECONDS) -> str:
        return self._wait(self.log, text, since, seconds)

    def wait_exit(self, seconds: float = PATIENCE_SECONDS) -> int:
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        return code

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it without a word to anybody."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait_exit()

    def stop(self) -> int:
        """End it as a service manager does."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.wait_exit()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def rss_bytes(self) -> int:
        """Resident memory."""
        return self._memory("VmRSS:")

    def peak_rss_bytes(self) -> int:
        """The most resident memory since it was started, or since ``forget_peak_rss``."""
        return self._memory("VmHWM:")

    def forget_peak_rss(self) -> None:
        """Begin anew with the resident memory of now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _memory(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name}")

    def _read(self, stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))
            self._news.put(None)
        self._news.put(None)

    def _wait(self, lines: list[str], text: str, since: int, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while True:
            for line in lines[since:]:
                if text in line:
                    return line
            left = deadline - time.monotonic()
            ended = self.process.poll() is not None and not any(reader.is_alive() for reader in self._readers)
            if left <= 0 or ended:
                why = f"ended with {self.process.returncode}" if ended else f"{seconds:g} s are over"
                everything = "\n".join(["-- out", *self.out, "-- log", *self.log])
                raise AssertionError(f"{text!r} did not come, {why}:\n{everything}")
            try:
                self._news.get(timeout=min(left, 0.2))
            except queue.Empty:
                pass


def _admin(state: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "socksfusion.cli.main", "--state", str(state), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=state.parent).stdout


@cache
def _initialised() -> Path:
    """A fresh state folder, made once: installations of the tests begin with a copy of it."""
    folder = Path(tempfile.mkdtemp(prefix="socksfusion-tests-"))
    atexit.register(shutil.rmtree, folder)
    _admin(folder / "state", "init")
    return folder / "state"


class Installation:
    """A state folder with its Proxy and Agents; ``close`` ends whatever still runs.

    ``prefix`` stands before the programs' commands, to run them in a network namespace.
    """

    def __init__(self, folder: Path, prefix: Sequence[str] = ()) -> None:
        self.folder = folder
        self.prefix = prefix
        self.state = folder / "state"
        self.agents_port = free_port()
        self.clients_port = free_port()
        self.programs: list[Program] = []
        self.reactor = ""
        self.proxy: Program | None = None
        shutil.copytree(_initialised(), self.state)

    def admin(self, *arguments: str) -> str:
        """Run ``socksfusion --state … ARGUMENTS``; its standard output. A failure raises CalledProcessError."""
        return _admin(self.state, *arguments)

    def add_agent(self, name: str) -> Path:
        """Register an agent; its copy file."""
        copy = self.folder / f"{name}.agent"
        self.admin("agent", "add", name, "--proxy", f"localhost:{self.agents_port}", "--out", str(copy))
        return copy

    def start(self, *arguments: str, **environment: str) -> Program:
        """Start ``twistd -n --pidfile= ARGUMENTS``."""
        reactor = ["--reactor", self.reactor] if self.reactor else []
        command = [*self.prefix, sys.executable, "-c", TWISTD, *reactor, "-n", "--pidfile=", *arguments]
        program = Program(command, environment=environment, cwd=self.folder)
        self.programs.append(program)
        return program

    def start_proxy(self, *arguments: str) -> Program:
        """Start the Proxy and wait until it listens."""
        self.proxy = self.start(
            "socksfusion-proxy",
            "--state",
            str(self.state),
            "--agents",
            f"tcp:{self.agents_port}:interface=127.0.0.1",
            "--clients",
            f"tcp:{self.clients_port}:interface=127.0.0.1",
            *arguments,
        )
        self.proxy.wait_log(f"starting on {self.clients_port}")
        return self.proxy

    def start_agent(
        self, copy: Path, *arguments: str, allow: Sequence[str] = ("127.0.0.0/8", "::1"), serving: bool = True
    ) -> Program:
        """Start an Agent that may reach loopback, unless told otherwise; wait until it serves."""
        allowed = [argument for network in allow for argument in ("--allow", network)]
        agent = self.start("socksfusion-agent", "--copy", str(copy), *allowed, *arguments)
        if serving:
            agent.wait_log("serving as agent")
        return agent

    def close(self) -> None:
        for program in reversed(self.programs):
            program.kill()


@contextmanager
def installation(folder: Path, prefix: Sequence[str] = ()) -> Iterator[Installation]:
    """An installation that is closed at the end."""
    made = Installation(folder, prefix)
    try:
        yield made
    finally:
        made.close()
