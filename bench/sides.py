"""What every measured side has in common, and the simplest one: no tunnel at all."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import BenchError
from bench.generator import Generator, LineSpec
from bench.processes import Program, free_port, tree


class Side(ABC):
    """A tunnel with both its programs on this machine; a context manager that starts and ends them.

    ``via`` and ``target`` are what the load generator is given; ``folder`` is its own, for keys, state and logs.
    """

    name: str
    label: str

    def __init__(self, folder: Path, generator: Generator, line: LineSpec | None = None) -> None:
        self.folder = folder
        self.generator = generator
        self.line = line
        self.programs: list[Program] = []
        self.via = ""
        self.target = "127.0.0.1:0"
        self._line_program: Program | None = None

    @abstractmethod
    def start(self) -> None:
        """Start both programs and wait until the tunnel carries; sets ``via``."""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        try:
            self.start()
            self.generator.run("rate", limit_seconds=30, via=self.via, target=self.target, count=1)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        for program in reversed(self.programs):
            program.stop()
        if self._line_program is not None:
            self._line_program.stop()

    def run(self, argv: Sequence[str], *, log: str, env: dict[str, str] | None = None) -> Program:
        """Start one of the side's programs."""
        program = Program(argv, self.folder / log, cwd=self.folder, env=env)
        self.programs.append(program)
        return program

    def reach(self, port: int) -> int:
        """The port that the dialling program is told: ``port``, or a line to it where this run has one."""
        if self.line is None:
            return port
        self._line_program, near = self.generator.start_line(self.line, port, self.folder / "line.log")
        return near

    def pids(self) -> list[int]:
        """Every process of the tunnel (not of the line, which is part of the instrument)."""
        return [pid for program in self.programs for pid in tree(program.pid)]

    def remarks(self) -> list[str]:
        """What a reader of the figures must know about this side, once it runs."""
        return []

    def check(self) -> None:
        """Raise :class:`BenchError` when one of the programs has ended."""
        for program in self.programs:
            try:
                program.check()
            except BenchError as error:
                raise BenchError(f"{self.label}: {error}") from error


class DirectSide(Side):
    """Plain TCP from the load generator to its target: what the instrument itself can do, or the bare line."""

    name = "direct"
    label = "plain TCP"

    def start(self) -> None:
        self.via = "direct:"
        if self.line is not None:
            self.target = f"127.0.0.1:{free_port()}"
            self.via = f"direct:127.0.0.1:{self.reach(int(self.target.rpartition(':')[2]))}"
