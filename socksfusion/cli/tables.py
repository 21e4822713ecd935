"""How the commands lay out what they show: columns, a line a fact, and moments."""

from collections.abc import Iterable, Sequence
from datetime import datetime


def as_columns(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line a row under a line of headings."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def as_facts(facts: Iterable[tuple[str, str]]) -> str:
    """A line a fact, under each other what it is about and what it is."""
    known = list(facts)
    width = max(12, *(len(name) + 2 for name, _ in known))
    return "\n".join(f"{name.lower() + ':':<{width}}{value}" for name, value in known)


def moment(seconds: float | None, *, exact: bool = False) -> str | None:
    """Unix seconds as local time, ISO 8601 with offset; ``exact``: to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds" if exact else "seconds")
