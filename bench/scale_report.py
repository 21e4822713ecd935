"""What ``--only scale`` found, as tables: a row a count of streams or agents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.report import aligned, made_on, number

BEGIN_MARK = "<!-- growth by python -m bench --only scale: begin -->"


@dataclass(frozen=True, slots=True)
class Column:
    """``key`` is what the measure files its values under; ``short`` tells it from others in one panel of the chart."""

    key: str
    label: str
    unit: str
    short: str = ""

    @property
    def head(self) -> str:
        return f"{self.label} ({self.unit})"


@dataclass(frozen=True, slots=True)
class Series:
    """One table: ``counted`` heads its first column."""

    key: str
    counted: str
    columns: Sequence[Column]


STREAMS = Series(
    "streams",
    "idle streams",
    (
        Column("proxy_memory", "memory, Proxy", "MB", "Proxy"),
        Column("agent_memory", "memory, Agent", "MB", "Agent"),
        Column("idle", "CPU when idle, both", "ms/s"),
        Column("ping", "ping, p50", "ms"),
        Column("bulk", "one bulk stream", "MB/s"),
    ),
)
AGENTS = Series(
    "agents",
    "agents",
    (
        Column("proxy_memory", "memory, Proxy", "MB"),
        Column("idle", "CPU when idle, Proxy", "ms/s"),
        Column("ping", "ping through one, p50", "ms"),
        Column("connect", "until all are connected", "s"),
    ),
)
SERIES = (STREAMS, AGENTS)


def each(rows: Sequence[dict[str, float]], keys: Sequence[str]) -> float | None:
    """KB that one more of what is counted takes, by the last two rows; ``keys`` are the memory columns."""
    if len(rows) < 2:
        return None
    before, last = rows[-2], rows[-1]
    grown = sum(last[key] - before[key] for key in keys)
    return 1e3 * grown / (last["count"] - before["count"])


def _table(series: Series, rows: Sequence[dict[str, float]]) -> str:
    head = [series.counted, *(column.head for column in series.columns)]
    lines = [[f"{row['count']:,}", *(number(row[column.key]) for column in series.columns)] for row in rows]
    return aligned([head, *lines], texts=0)


def text(document: dict[str, Any]) -> str:
    """Both tables, what one more stream or agent takes, and the notes, in Markdown."""
    parts = [f"{made_on(document['machine'])}; one run."]
    for series in SERIES:
        rows = document["scale"][series.key]
        parts.append(_table(series, rows))
        memory = [column.key for column in series.columns if column.key.endswith("_memory")]
        kilobytes = each(rows, memory)
        if kilobytes is not None:
            where = "both programs together" if len(memory) > 1 else "the Proxy"
            counts = f"From {rows[-2]['count']:,} to {rows[-1]['count']:,} {series.counted}"
            parts.append(f"{counts}: {number(kilobytes)} KB each in {where}.")
    return "\n\n".join([*parts, *(f"Note: {note}" for note in document["notes"])])
