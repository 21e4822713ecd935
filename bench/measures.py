"""The measures: what each runs on one side for one round, and the order of turns."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.generator import LineSpec
from bench.metrics import BULK_SHAPES
from bench.processes import wait_until_quiet
from bench.ratios import ramp_seconds, steady_rate
from bench.sides import Side

SPARE_SECONDS = 60
WORKERS = 32
PING_PAUSE = "2ms"
LINE_SAMPLE = "50ms"
LINE_CONNECTS = 5
FOREIGN_SHARE = 0.1
FOREIGN_NOTE = "other programs used"
"""How the note begins that the machine was not ours alone."""
GROUPS = ("bulk", "connects", "ping", "beside", "memory", "line")


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how much one round is."""

    rounds: int = 5
    seconds: float = 2.5
    warm_seconds: float = 0.5
    held_streams: int = 1000
    line_seconds: float = 8.0


@dataclass(slots=True)
class Results:
    """``values``: metric key -> side's name -> one value a round. ``notes``: what a reader must know beside them."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)
    """The share of the machine that other programs used, looked at before each measure."""

    def note_foreign_load(self) -> None:
        """Tell the reader when the machine was not ours alone."""
        share = sum(self.foreign) / max(1, len(self.foreign))
        if share > FOREIGN_SHARE:
            self.notes.append(
                f"{FOREIGN_NOTE} {100 * share:.0f} % of the machine meanwhile: measure again without them"
            )

    def add(self, metric: str, side: str, value: float) -> None:
        self.values.setdefault(metric, {}).setdefault(side, []).append(value)


Run = Callable[[Side, Settings, Results], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Measure:
    """``run`` gives values by the last part of their metric's key. ``fresh``: each round on programs just started."""

    key: str
    run: Run
    fresh: bool = False

    @property
    def group(self) -> str:
        return self.key.partition(".")[0]


def _load(side: Side, settings: Settings, role: str, **options: object) -> dict[str, Any]:
    defaults: dict[str, Any] = {"seconds": settings.seconds, "warm": f"{settings.warm_seconds * 1000:.0f}ms"}
    limit = settings.seconds + settings.line_seconds + SPARE_SECONDS
    return side.generator.run(role, limit_seconds=limit, via=side.via, target=side.target, **{**defaults, **options})


def _bulk(streams: int, direction: str, side: Side, settings: Settings, results: Results) -> dict[str, float]:
    pids = side.pids()
    got = _load(side, settings, "bulk", streams=streams, direction=direction, pids=pids)
    gigabytes = got["bytes"] / 1e9
    speed = {"speed": gigabytes * 1e3 / got["seconds"]}
    return {**speed, "cpu": got["cpu_seconds"] / gigabytes} if pids else speed


def _note_failures(side: Side, got: dict[str, float], results: Results) -> None:
    if got["failed"]:
        results.notes.append(f"{side.label}: {got['failed']} connects failed, the last one with: {got['reason']}")


def _connects(side: Side, settings: Settings, results: Results) -> dict[str, float]:
    pids = side.pids()
    got = _load(side, settings, "rate", workers=WORKERS, pids=pids)
    _note_failures(side, got, results)
    speed = {"speed": got["connects"] / got["seconds"]}
    return {**speed, "cpu": 1e6 * got["cpu_seconds"] / max(1, got["connects"])} if pids else speed


def _ping(side: Side, settings: Settings, results: Results) -> dict[str, float]:
    got = _load(side, settings, "ping")
    return {"p50": got["p50_ms"], "p99": got["p99_ms"]}


def _beside(side: Side, settings: Settings, results: Results) -> dict[str, float]:
    got = _load(side, settings, "ping", beside=4, pause=PING_PAUSE)
    return {"p50": got["p50_ms"], "p99": got["p99_ms"], "speed": got["bytes"] / 1e6 / got["seconds"]}


def _memory(side: Side, settings: Settings, results: Results) -> dict[str, float]:
    pids = side.pids()
    if not pids:
        return {}
    got = _load(side, settings, "hold", streams=settings.held_streams, pids=pids)
    _note_failures(side, got, results)
    return {"stream": (got["after_bytes"] - got["before_bytes"]) / 1e3 / max(1, got["held"])}


STANDARD: list[Measure] = [
    Measure("memory", _memory, fresh=True),
    *(Measure(f"bulk.{streams}.{way}", partial(_bulk, streams, way)) for streams, way in BULK_SHAPES),
    Measure("connects", _connects),
    Measure("ping", _ping),
    Measure("beside", _beside),
]


def line_measures(spec: LineSpec) -> list[Measure]:
    """The measures of a long line; the sides that they get are joined by it."""
    # The goal is a ping beside a line that is full: windows that grow need their time first.
    warm = f"{4 * spec.rtt_seconds + 3:.1f}s"

    def bulk(direction: str, side: Side, settings: Settings, results: Results) -> dict[str, float]:
        got = _load(
            side, settings, "bulk", direction=direction, sample=LINE_SAMPLE, warm="0s", seconds=settings.line_seconds
        )
        samples: list[list[float]] = got["samples"]
        return {"speed": steady_rate(samples) / 1e6, "ramp": ramp_seconds(samples, 0.95e6 * spec.megabytes)}

    def connect(side: Side, settings: Settings, results: Results) -> dict[str, float]:
        got = _load(side, settings, "rate", count=LINE_CONNECTS)
        _note_failures(side, got, results)
        return {"p50": got["p50_ms"]}

    def beside(side: Side, settings: Settings, results: Results) -> dict[str, float]:
        got = _load(side, settings, "ping", beside=4, warm=warm, seconds=settings.line_seconds)
        return {"p50": got["p50_ms"], "speed": got["bytes"] / 1e6 / got["seconds"]}

    return [
        *(Measure(f"line.{way}", partial(bulk, way)) for way in ("down", "up")),
        Measure("line.connect", connect),
        Measure("line.beside", beside),
    ]


def take_turns(
    measures: Iterable[Measure], make_sides: Sequence[Callable[[], Side]], settings: Settings, results: Results
) -> None:
    """Run every measure for all rounds; within a round the sides take turns, so that a slow minute hits all alike."""
    measures = list(measures)
    for measure in measures:
        if measure.fresh:
            for _ in range(settings.rounds):
                for make_side in make_sides:
                    with make_side() as side:
                        _measure_once(measure, side, settings, results)
    lasting = [measure for measure in measures if not measure.fresh]
    if not lasting:
        return
    with ExitStack() as stack:
        sides = [stack.enter_context(make_side()) for make_side in make_sides]
        results.notes += [remark for side in sides for remark in side.remarks() if remark not in results.notes]
        pids = [pid for side in sides for pid in side.pids()]
        for measure in lasting:
            for _ in range(settings.rounds):
                for side in sides:
                    results.foreign.append(wait_until_quiet(pids))
                    _measure_once(measure, side, settings, results)


def _measure_once(measure: Measure, side: Side, settings: Settings, results: Results) -> None:
    side.check()
    values = measure.run(side, settings, results)
    for name, value in values.items():
        results.add(f"{measure.key}.{name}", side.name, value)
    if not values:
        return
    shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
    print(f"{measure.key:14} {side.label:12} {shown}", file=sys.stderr, flush=True)
