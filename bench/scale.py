"""How cost grows with idle streams beside one, and with agents at one Proxy: ``python -m bench --only scale``."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.agents_side import ManyAgentsSide
from bench.generator import Generator
from bench.measures import Results
from bench.processes import Program, exact_cpu_seconds, resident_bytes, wait_until_quiet
from bench.sides import Side
from bench.socksfusion_side import SocksFusionSide

STREAMS = (1, 10, 100, 1_000, 10_000)
AGENTS = (1, 10, 100, 1_000)
SPARE_DESCRIPTORS = 100
LIMIT_SECONDS = 30.0

Row = dict[str, float]
"""``count`` and the values of one row, by the keys of bench.scale_report's columns."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How long each row is looked at. ``idle_seconds`` holds one liveness ping of every agent."""

    rounds: int = 3
    seconds: float = 1.0
    idle_seconds: float = 15.0


QUICK = Depth(rounds=1, seconds=0.5, idle_seconds=2.0)


class Scale:
    """Measures both series. Where files are limited too low for a row, it is left out, and ``results`` notes it."""

    def __init__(self, root: Path, generator: Generator, depth: Depth, results: Results, reactor: str | None) -> None:
        self._root = root
        self._generator = generator
        self._depth = depth
        self._results = results
        self._reactor = reactor

    def measure(self) -> dict[str, list[Row]]:
        """``streams`` and ``agents``: a row a count, fit for JSON."""
        return {"streams": list(self._streams()), "agents": list(self._agents())}

    # -- streams ---------------------------------------------------------------------------------------------------

    def _streams(self) -> Iterator[Row]:
        limit = descriptor_limit()
        with ExitStack() as stack:
            side = stack.enter_context(SocksFusionSide(self._root / "streams", self._generator, reactor=self._reactor))
            proxy, agent = side.programs
            # what bulk brings along once must not look like the first streams' memory
            self._bulk(side)
            held = 0
            for count in self._fitting(STREAMS, streams_that_fit(limit), "streams"):
                for number, more in enumerate(batches(count - held, limit)):
                    log = side.folder / f"keep-{count}-{number}.log"
                    stack.callback(self._generator.keep(more, log, via=side.via).stop)
                held = count
                row: Row = {"count": count, **self._rest(proxy, agent, both=True)}
                row["ping"] = self._median(self._ping, side)
                row["bulk"] = self._median(self._bulk, side)
                yield _told("streams", row)

    # -- agents ----------------------------------------------------------------------------------------------------

    def _agents(self) -> Iterator[Row]:
        for count in self._fitting(AGENTS, agents_that_fit(descriptor_limit()), "agents"):
            folder = self._root / f"agents-{count}"
            with ManyAgentsSide(folder, self._generator, agents=count, reactor=self._reactor) as side:
                proxy, agents = side.programs
                row: Row = {"count": count, "connect": side.connect_seconds, **self._rest(proxy, agents, both=False)}
                row["ping"] = self._median(self._ping, side)
                yield _told("agents", row)

    # -- one row ---------------------------------------------------------------------------------------------------

    def _rest(self, proxy: Program, agent: Program, *, both: bool) -> Row:
        """Memory, and CPU time while nothing is asked of them: of both programs, or of the Proxy only."""
        self._results.foreign.append(wait_until_quiet([proxy.pid, agent.pid]))
        programs = {"proxy": proxy, "agent": agent} if both else {"proxy": proxy}
        row = {f"{name}_memory": resident_bytes(program.pid) / 1e6 for name, program in programs.items()}
        pids = [program.pid for program in programs.values()]
        began, before = time.monotonic(), sum(map(exact_cpu_seconds, pids))
        time.sleep(self._depth.idle_seconds)
        used, seconds = sum(map(exact_cpu_seconds, pids)) - before, time.monotonic() - began
        return {**row, "idle": 1e3 * used / seconds}

    def _median(self, measure: Callable[[Side], float], side: Side) -> float:
        values = []
        for _ in range(self._depth.rounds):
            side.check()
            wait_until_quiet(side.pids())
            values.append(measure(side))
        return median(values)

    def _load(self, side: Side, role: str) -> dict[str, Any]:
        return self._generator.run(
            role, limit_seconds=LIMIT_SECONDS, via=side.via, warm="300ms", seconds=self._depth.seconds
        )

    def _ping(self, side: Side) -> float:
        return float(self._load(side, "ping")["p50_ms"])

    def _bulk(self, side: Side) -> float:
        got = self._load(side, "bulk")
        return float(got["bytes"] / 1e6 / got["seconds"])

    def _fitting(self, counts: tuple[int, ...], most: int, what: str) -> list[int]:
        fitting = [count for count in counts if count <= most]
        if len(fitting) < len(counts):
            self._results.notes.append(
                f"no more than {fitting[-1]:,} {what}: raise the limit of open files (ulimit -n)"
            )
        return fitting


def descriptor_limit() -> int:
    """How many files each program that is started from here may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def streams_that_fit(limit: int) -> int:
    """Idle streams that a Proxy with this limit of open files takes: it refuses Clients above 80 % of it."""
    return limit * 8 // 10 - SPARE_DESCRIPTORS


def agents_that_fit(limit: int) -> int:
    """Agents that one process with this limit holds: each has its connection and a standard output of its own."""
    return (limit - SPARE_DESCRIPTORS) // 2


def batches(streams: int, limit: int) -> list[int]:
    """How many streams each process of the load generator keeps: it has both ends of every one."""
    most = (limit - SPARE_DESCRIPTORS) // 2
    full, rest = divmod(streams, most)
    return [most] * full + ([rest] if rest else [])


def _told(series: str, row: Row) -> Row:
    shown = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "count")
    print(f"{row['count']:6} {series:8} {shown}", file=sys.stderr, flush=True)
    return row
