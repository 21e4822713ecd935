"""The figures drawn from repeated rounds: medians, ratios of two sides, their noise, and what has moved."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

KEPT_FILE = Path(__file__).parent / "ratios.json"
LEAST_NOISE = 0.08
RAMP_WINDOW_SECONDS = 0.5

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""metric key -> side's name -> one value a round."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One side's median by another's, and its noise: half the spread of the rounds' own ratios, as a logarithm."""

    value: float
    noise: float

    @property
    def percent(self) -> float:
        """The noise as a share of the value, in per cent."""
        return 100 * (math.exp(self.noise) - 1)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio | None:
    """The ratio of two sides that took turns, so that round n of one stands beside round n of the other.

    None where a value is zero or infinite (it never came), or where nothing was measured.
    """
    pairs = list(zip(ours, theirs, strict=False))
    if not pairs or not all(0 < value < math.inf for pair in pairs for value in pair):
        return None
    logarithms = [math.log(one / other) for one, other in pairs]
    return Ratio(median(ours) / median(theirs), (max(logarithms) - min(logarithms)) / 2)


def ratios(values: Values, ours: str, theirs: str) -> dict[str, Ratio]:
    """The ratio of every metric that both sides have."""
    found = {key: ratio(sides.get(ours, ()), sides.get(theirs, ())) for key, sides in values.items()}
    return {key: one for key, one in found.items() if one is not None}


def moved(kept: Ratio, now: Ratio) -> float | None:
    """By what factor a ratio has changed, or None where that may be noise."""
    change = math.log(now.value / kept.value)
    noise = max(LEAST_NOISE, math.hypot(kept.noise, now.noise))
    return math.exp(change) if abs(change) > noise else None


def ramp_seconds(samples: Sequence[Sequence[float]], needed: float) -> float:
    """When a transfer had become fast: the start of the first half second in which it made ``needed`` bytes a second.

    ``samples`` are (seconds, bytes so far). Infinite when it never did.
    """
    end = 0
    for began, before in samples:
        while end < len(samples) and samples[end][0] < began + RAMP_WINDOW_SECONDS:
            end += 1
        if end == len(samples):
            break
        if samples[end][1] - before >= needed * (samples[end][0] - began):
            return began
    return math.inf


def steady_rate(samples: Sequence[Sequence[float]]) -> float:
    """Bytes a second over the second half of a transfer."""
    last, first = samples[-1], samples[len(samples) // 2]
    return (last[1] - first[1]) / (last[0] - first[0])


def load_kept(path: Path = KEPT_FILE) -> dict[str, Ratio]:
    """The ratios that the repository keeps; empty where it keeps none."""
    if not path.exists():
        return {}
    return {key: Ratio(**fields) for key, fields in json.loads(path.read_text())["ratios"].items()}


def save_kept(found: Mapping[str, Ratio], machine: Mapping[str, object], path: Path = KEPT_FILE) -> None:
    """Keep these ratios; those of metrics that this run did not measure stay."""
    merged = {**load_kept(path), **found}
    lines = {key: {"value": round(one.value, 4), "noise": round(one.noise, 4)} for key, one in sorted(merged.items())}
    path.write_text(json.dumps({"machine": dict(machine), "ratios": lines}, indent=1) + "\n")
