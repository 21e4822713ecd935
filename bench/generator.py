"""The load generator of bench/load: built where it is missing, and run."""

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError, MissingTool
from bench.processes import Program, find_tool

SOURCES = Path(__file__).parent / "load"
LINE_LIMIT = "3h"
KEEP_LIMIT = "1h"
KEEP_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class LineSpec:
    """A long line: its round trip and the rate of each direction."""

    rtt_seconds: float
    mbit: float

    @classmethod
    def parse(cls, text: str) -> "LineSpec":
        """``RTT,RATE`` such as ``100ms,1000`` (milliseconds, Mbit/s); ValueError for anything else."""
        rtt, _, rate = text.partition(",")
        spec = cls(float(rtt.removesuffix("ms")) / 1000, float(rate))
        if spec.rtt_seconds < 0 or spec.mbit <= 0:
            raise ValueError(text)
        return spec

    def __str__(self) -> str:
        return f"the line has {1000 * self.rtt_seconds:g} ms round trip and {self.mbit:g} Mbit/s each way"

    @property
    def megabytes(self) -> float:
        """MB/s of each direction."""
        return self.mbit / 8


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "socksfusion-bench"


def build() -> Path:
    """The built program, from the cache where the sources are unchanged; :class:`MissingTool` without Go."""
    sources = [*sorted(SOURCES.glob("*.go")), SOURCES / "go.mod"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    program = cache_folder() / f"load-{digest}"
    if program.exists():
        return program
    try:
        go = find_tool("go")
    except MissingTool:
        raise MissingTool(
            "go is not there: the load generator (bench/load) is built with it; Debian's package: golang-go"
        )
    program.parent.mkdir(parents=True, exist_ok=True)
    half_built = program.with_suffix(f".{os.getpid()}")
    built = subprocess.run(
        [go, "build", "-o", str(half_built), "."],
        cwd=SOURCES,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise BenchError(f"go build of {SOURCES.name} failed:\n{built.stderr}")
    half_built.replace(program)
    return program


class Generator:
    """Runs the load generator, one process a measure."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def run(self, role: str, *, limit_seconds: float, pids: Sequence[int] = (), **options: Any) -> dict[str, Any]:
        """What the role measured; :class:`BenchError` when it could not.

        An option named ``warm`` of the program is given as ``warm="300ms"``, and so on.
        """
        argv = [str(self.program), role, "-limit", f"{limit_seconds:.0f}s"]
        if pids:
            argv += ["-pids", ",".join(map(str, pids))]
        for name, value in options.items():
            argv += [f"-{name}", str(value)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{role} failed: {done.stderr.strip()}")
        measured: dict[str, Any] = json.loads(done.stdout)
        return measured

    def keep(self, streams: int, log: Path, *, via: str) -> Program:
        """Open so many silent streams, which stay open until the program is stopped; :class:`BenchError` if not all."""
        argv = [str(self.program), "keep", "-limit", KEEP_LIMIT, "-via", via, "-streams", str(streams)]
        program = Program(argv, log)
        try:
            program.wait_for_text("\n", KEEP_SECONDS)
            kept = json.loads(log.read_text())
            if kept["failed"]:
                raise BenchError(f"{kept['failed']} of {streams} streams failed, the last one with: {kept['reason']}")
        except BaseException:
            program.stop()
            raise
        return program

    def start_line(self, spec: LineSpec, port: int, log: Path) -> tuple[Program, int]:
        """A long line to 127.0.0.1:``port``: its program and the port to dial instead."""
        program = Program(
            [
                *(str(self.program), "line", "-limit", LINE_LIMIT, "-to", f"127.0.0.1:{port}"),
                *("-rtt", f"{spec.rtt_seconds * 1000:g}ms", "-mbit", f"{spec.mbit:g}"),
            ],
            log,
        )
        program.wait_for_text("\n")
        return program, int(log.read_text().split()[0].rpartition(":")[2])
