"""What is measured, by name: label, unit, which way is better, and what this project wants to reach."""

from dataclasses import dataclass
from typing import Literal

from bench.generator import LineSpec


@dataclass(frozen=True, slots=True)
class Metric:
    """``key`` is what a measure's results are filed under.

    The goal is one of three: ``goal_ratio`` is this project's value by OpenSSH's, ``goal`` a value of its own,
    ``goal_over`` how far above plain TCP's; each is a floor where more is better and a ceiling where less is.
    """

    key: str
    label: str
    unit: str
    better: Literal["more", "less"]
    goal_ratio: float | None = None
    goal: float | None = None
    goal_over: float | None = None

    def reaches(self, value: float, goal: float) -> bool:
        return value >= goal if self.better == "more" else value <= goal


BULK_SHAPES = [(streams, direction) for streams in (1, 8) for direction in ("down", "up")]


def _bulk() -> list[Metric]:
    shapes = [(f"bulk.{n}.{way}", f"{n} stream{'s' * (n > 1)} {way}", n) for n, way in BULK_SHAPES]
    speeds = [
        Metric(f"{key}.speed", f"bulk, {text}", "MB/s", "more", 1.0 if n == 1 else 1.25) for key, text, n in shapes
    ]
    return speeds + [Metric(f"{key}.cpu", f"CPU, {text}", "s/GB", "less", 0.8) for key, text, _ in shapes]


STANDARD = [
    *_bulk(),
    Metric("connects.speed", "connects, 32 workers", "1/s", "more", 4.0),
    Metric("connects.cpu", "CPU a connect", "µs", "less", 1.5),
    Metric("ping.p50", "ping idle, p50", "ms", "less", 2.0),
    Metric("ping.p99", "ping idle, p99", "ms", "less"),
    Metric("beside.p50", "ping beside 4 bulk, p50", "ms", "less", 0.8),
    Metric("beside.p99", "ping beside 4 bulk, p99", "ms", "less", 0.4),
    Metric("beside.speed", "bulk beside the ping", "MB/s", "more", 1.1),
    Metric("memory.stream", "memory an idle stream", "KB", "less", goal=25.0),
]


def line_metrics(spec: LineSpec) -> list[Metric]:
    """The metrics of a long line, whose goals depend on it."""
    rtt = spec.rtt_seconds * 1000
    name = f"{rtt:g} ms line"
    full = 0.95 * spec.megabytes
    directions = [
        metric
        for way in ("down", "up")
        for metric in (
            Metric(f"line.{way}.speed", f"{name}: 1 stream {way}", "MB/s", "more", goal=full),
            Metric(f"line.{way}.ramp", f"{name}: {way}, until 95 %", "s", "less", goal=4.0),
        )
    ]
    return [
        *directions,
        Metric("line.connect.p50", f"{name}: connect and echo", "ms", "less", goal=2 * rtt + 5),
        Metric("line.beside.p50", f"{name}: ping beside 4 bulk", "ms", "less", goal_over=10.0),
        Metric("line.beside.speed", f"{name}: bulk beside it", "MB/s", "more", goal=full),
    ]
