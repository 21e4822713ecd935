"""How cost grows, as one SVG of small panels: both axes logarithmic, so that level is no growth and a slope is some."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from bench.chart import STYLE
from bench.report import made_on, number
from bench.scale_report import SERIES, Column, Series

PANEL_WIDTH, PANEL_HEIGHT, PLOT_WIDTH, PLOT_HEIGHT = 216, 178, 132, 104
LEFT, TOP, MARGIN = 46, 66, 16
LINES = "polyline { fill: none; stroke-width: 2; } .line0 { stroke: #0969da; } .line1 { stroke: #bf8700; }"

Rows = Sequence[dict[str, float]]


def panels(series: Series) -> list[list[Column]]:
    """The columns of each panel: those with a ``short`` name share one."""
    shared = [column for column in series.columns if column.short]
    return ([shared] if shared else []) + [[column] for column in series.columns if not column.short]


def decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten that enclose all values above 0: (lower, upper), at least one apart."""
    positive = [value for value in values if value > 0] or [1.0]
    low = math.floor(math.log10(min(positive)))
    return low, max(low + 1, math.ceil(math.log10(max(positive))))


class Plot:
    """Places of one panel: ``across`` and ``up`` are the decades of its axes."""

    def __init__(self, x: float, y: float, across: tuple[int, int], up: tuple[int, int]) -> None:
        self.left, self.bottom = x, y + PLOT_HEIGHT
        self.top = y
        self.across, self.up = across, up

    def x(self, count: float) -> float:
        low, high = self.across
        return self.left + PLOT_WIDTH * (math.log10(count) - low) / (high - low)

    def y(self, value: float) -> float:
        """0 lies on the axis."""
        low, high = self.up
        share = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return self.bottom - PLOT_HEIGHT * max(0.0, share)

    def grid(self) -> Iterator[str]:
        for power in range(self.up[0], self.up[1] + 1):
            y = self.y(10.0**power)
            yield f'<line class="grid" x1="{self.left}" x2="{self.left + PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="small" x="{self.left - 5}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>'
        for power in range(self.across[0], self.across[1] + 1):
            x = self.x(10.0**power)
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{self.bottom}"/>'
            shown = f"{10**power:,}" if power < 4 else f"{10 ** (power - 3)}k"
            yield f'<text class="small" x="{x:.1f}" y="{self.bottom + 14}" text-anchor="middle">{shown}</text>'


def _panel(columns: Sequence[Column], rows: Rows, across: tuple[int, int], x: float, y: float) -> Iterator[str]:
    plot = Plot(x + LEFT, y + 22, across, decades([row[column.key] for row in rows for column in columns]))
    first = columns[0]
    label = f"{first.label.partition(',')[0]} ({first.unit})" if len(columns) > 1 else first.head
    yield f'<text class="small" x="{x}" y="{y + 12}">{escape(label)}</text>'
    yield from plot.grid()
    places = []
    for index, column in enumerate(columns):
        points = " ".join(f"{plot.x(row['count']):.1f},{plot.y(row[column.key]):.1f}" for row in rows)
        yield f'<polyline class="line{index}" points="{points}"/>'
        last = rows[-1]
        places.append((plot.y(last[column.key]), plot.x(last["count"]), f"{number(last[column.key])} {column.short}"))
    under = -math.inf
    for place, right, shown in sorted(places):
        # names of lines that end at one place stand under each other
        under = max(place, under + 13)
        yield f'<text class="small" x="{right + 4:.1f}" y="{under + 4:.1f}">{escape(shown.strip())}</text>'


def draw(document: dict[str, Any]) -> str:
    """The SVG: a row of panels a series."""
    width = MARGIN * 2 + PANEL_WIDTH * max(len(panels(series)) for series in SERIES)
    height = TOP + PANEL_HEIGHT * len(SERIES)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>How cost grows with idle streams and with agents</title><style>{STYLE}{LINES}</style>",
        f'<text class="title" x="{MARGIN}" y="24">How cost grows (level: not at all)</text>',
        f'<text class="small" x="{MARGIN}" y="42">{escape(made_on(document["machine"]))}</text>',
    ]
    for index, series in enumerate(SERIES):
        rows: Rows = document["scale"][series.key]
        y = TOP + PANEL_HEIGHT * index
        parts.append(f'<text x="{MARGIN}" y="{y}">by {escape(series.counted)}</text>')
        across = decades([row["count"] for row in rows])
        for place, columns in enumerate(panels(series)):
            parts += _panel(columns, rows, across, MARGIN + PANEL_WIDTH * place, y + 6)
    return "\n".join([*parts, "</svg>", ""])
