"""Programs that are measured: started with their output in a file, watched, ended by their own pid."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.errors import BenchError, MissingTool

STOP_SECONDS = 5.0
POLL_SECONDS = 0.02
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def find_tool(name: str, given: str | None = None) -> str:
    """The full path of a program, ``given`` or by its name; :class:`MissingTool` says which one is not there."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    path = shutil.which(given or name, path=places)
    if path is None:
        raise MissingTool(f"{given or name} is not there or not executable; install it first")
    return os.path.abspath(path)


def free_port() -> int:
    """A loopback TCP port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """One running program; what it writes goes to ``log``."""

    def __init__(
        self, argv: Sequence[str], log: Path, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = Path(argv[0]).name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """Raise :class:`BenchError`, with the end of its log, when the program has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"{self.name} ended with code {self._process.returncode}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_for_text(self, text: str, seconds: float = 20.0) -> None:
        """Wait until the log has ``text``; :class:`BenchError` when it does not come."""
        end = time.monotonic() + seconds
        while text not in self.log.read_text(errors="replace"):
            self.check()
            if time.monotonic() > end:
                raise BenchError(f"{self.name} did not say {text!r} within {seconds:.0f} s:\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def wait_for_port(self, port: int, seconds: float = 20.0) -> None:
        """Wait until 127.0.0.1:``port`` accepts; :class:`BenchError` when it does not come."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise BenchError(f"{self.name}: port {port} did not open within {seconds:.0f} s:\n{self.tail()}")
                time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """End it without a word to anybody."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after STOP_SECONDS."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*"):
            try:
                found += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes so far; one that ended is missing."""
    total = 0
    for pid in pids:
        try:
            # The name in brackets may hold spaces; after it come the fields of proc(5) from the third on.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_SECOND


def exact_cpu_seconds(pid: int) -> float:
    """User and system time of one running process to the nanosecond, where cpu_seconds counts in hundredths."""
    # the kernel's number for a process's CPU clock, as clock_getcpuclockid(3) of the C library makes it
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    """The process's memory that is in RAM; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def machine_busy_seconds() -> float:
    """CPU time that all cores together have spent on anything but idling, since the boot."""
    user, nice, system, _idle, _iowait, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + sum(rest[:3])) / TICKS_PER_SECOND


def wait_until_quiet(pids: Sequence[int], *, seconds: float = 5.0, busy_share: float = 0.1) -> float:
    """Wait until the processes use next to no CPU, so that what one measure left over is not in the next one's time.

    Returns the share of the machine that was busy all the same: other programs, which have no place in a benchmark.
    """
    step = 0.1
    end = time.monotonic() + seconds
    ours, everyone, then = cpu_seconds(pids), machine_busy_seconds(), time.monotonic()
    while True:
        time.sleep(step)
        ours_now, everyone_now, now = cpu_seconds(pids), machine_busy_seconds(), time.monotonic()
        if ours_now - ours <= busy_share * step or now > end:
            cores = len(os.sched_getaffinity(0))
            share = ((everyone_now - everyone) - (ours_now - ours)) / (now - then) / cores
            return min(1.0, max(0.0, share))
        ours, everyone, then = ours_now, everyone_now, now
