"""The comparison as one SVG: per work a bar a side, how many times as good as OpenSSH, on a logarithmic axis."""

import math
from collections.abc import Iterator
from html import escape
from statistics import median
from typing import Any

from bench.generator import LineSpec
from bench.metrics import Metric
from bench.report import BASE, metrics_of, number, values_of

WIDTH, LEFT, RIGHT, TOP = 880, 270, 130, 70
BAR, GAP = 12, 12
LEAST, MOST = 0.25, 8.0
TICKS = (0.25, 0.5, 1, 2, 4, 8)

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.small { font-size: 11px; fill: #59636e; }
.title { font-size: 16px; font-weight: 600; }
.grid { stroke: #d1d9e0; } .base { stroke: #59636e; }
.side0 { fill: #0969da; } .side1 { fill: #bf8700; } .side2 { fill: #8250df; } .side3 { fill: #59636e; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; } .small { fill: #9198a1; }
.grid { stroke: #3d444d; } .base { stroke: #9198a1; }
.side0 { fill: #4493f8; } .side1 { fill: #d29922; } .side2 { fill: #ab7df8; } .side3 { fill: #9198a1; }
}
"""


def goodness(metric: Metric, side: float, base: float) -> float | None:
    """How many times as good as the base: side by base where more is better, base by side where less is."""
    if not (0 < side < math.inf and 0 < base < math.inf):
        return None
    return side / base if metric.better == "more" else base / side


def _x(times: float) -> float:
    """The place on the axis of a goodness; beyond its ends, the end."""
    share = math.log(min(MOST, max(LEAST, times)) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _bars(document: dict[str, Any]) -> list[tuple[str, list[tuple[int, float, str]]]]:
    """Per metric its label and, per side, (index, goodness, text beside the bar)."""
    values = values_of(document)
    others = [side for side in document["sides"] if side != BASE]
    rows = []
    for metric in metrics_of(document):
        measured = values[metric.key]
        if BASE not in measured:
            continue
        base = median(measured[BASE])
        bars = []
        for index, side in enumerate(others):
            value = median(measured[side]) if side in measured else math.inf
            times = goodness(metric, value, base)
            if times is not None:
                bars.append((index, times, f"{times:.2f}x  ({number(value)} {metric.unit})"))
        if bars:
            rows.append((f"{metric.label} ({number(base)} {metric.unit})", bars))
    return rows


def _head(document: dict[str, Any], height: float) -> Iterator[str]:
    machine = document["machine"]
    openssh = machine["openssh"].split(",")[0]
    made = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, {openssh}, {machine['date']}"
    if document["line"]:
        made += f"; {LineSpec(**document['line'])}"
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    yield f"<title>How many times as good as OpenSSH</title><style>{STYLE}</style>"
    yield '<text class="title" x="16" y="24">Times as good as OpenSSH (longer is better, figures in brackets)</text>'
    yield f'<text class="small" x="16" y="42">{escape(made)}</text>'
    for tick in TICKS:
        kind = "base" if tick == 1 else "grid"
        yield f'<line class="{kind}" x1="{_x(tick):.1f}" x2="{_x(tick):.1f}" y1="{TOP - 6}" y2="{height - 36}"/>'
        yield f'<text class="small" x="{_x(tick):.1f}" y="{TOP - 10}" text-anchor="middle">{tick:g}x</text>'


def draw(document: dict[str, Any]) -> str:
    """The SVG; sides beside OpenSSH as bars, which start at 1x: to the right better, to the left worse."""
    rows = _bars(document)
    height = TOP + sum(len(bars) * BAR + GAP for _, bars in rows) + 44
    parts = list(_head(document, height))
    y = TOP
    for label, bars in rows:
        middle = y + len(bars) * BAR / 2 + 4
        parts.append(f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end" class="small">{escape(label)}</text>')
        for index, times, text in bars:
            start, end = sorted((_x(1), _x(times)))
            width = max(1.0, end - start)
            parts.append(f'<rect class="side{index}" x="{start:.1f}" y="{y}" width="{width:.1f}" height="{BAR - 2}"/>')
            parts.append(f'<text class="small" x="{end + 5:.1f}" y="{y + BAR - 3}">{escape(text)}</text>')
            y += BAR
        y += GAP
    x = 16
    for index, side in enumerate(side for side in document["sides"] if side != BASE):
        label = document["sides"][side]
        parts.append(f'<rect class="side{index}" x="{x}" y="{height - 24}" width="12" height="12"/>')
        parts.append(f'<text x="{x + 18}" y="{height - 13}">{escape(label)}</text>')
        x += 40 + 8 * len(label)
    return "\n".join([*parts, "</svg>", ""])
