"""A run's figures as JSON, and the table that is printed from them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import BenchError
from bench.generator import LineSpec
from bench.measures import FOREIGN_NOTE, Results, Settings
from bench.metrics import STANDARD, Metric, line_metrics
from bench.ratios import Ratio, Values, moved, ratio

OURS = "socksfusion"
BASE = "openssh"
PLAIN = "direct"
BEGIN_MARK = "<!-- figures of python -m bench: begin -->"
END_MARK = "<!-- end -->"


def as_document(
    results: Results, labels: dict[str, str], settings: Settings, line: LineSpec | None, machine: dict[str, Any]
) -> dict[str, Any]:
    """Everything that a table or a chart needs, fit for JSON; a value that never came is None there."""
    return {
        "machine": machine,
        "settings": asdict(settings),
        "line": asdict(line) if line else None,
        "sides": labels,
        "notes": results.notes,
        "values": {
            key: {side: [value if math.isfinite(value) else None for value in row] for side, row in sides.items()}
            for key, sides in results.values.items()
        },
    }


def load_document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def metrics_of(document: dict[str, Any]) -> list[Metric]:
    """The metrics that the run measured, in the order of the table."""
    line = document["line"]
    every = STANDARD + (line_metrics(LineSpec(**line)) if line else [])
    return [metric for metric in every if metric.key in document["values"]]


def values_of(document: dict[str, Any]) -> Values:
    """The values with infinity back where a thing never came."""
    return {
        key: {side: [math.inf if value is None else value for value in row] for side, row in sides.items()}
        for key, sides in document["values"].items()
    }


def number(value: float) -> str:
    """Three digits that count."""
    if not math.isfinite(value):
        return "never"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _goal(metric: Metric, measured: Mapping[str, Sequence[float]], to_base: Ratio | None) -> str:
    """The goal and whether this run reaches it; empty where there is none, or where ours was not measured."""
    ours, plain = measured.get(OURS), measured.get(PLAIN)
    sign = "≥" if metric.better == "more" else "≤"
    if metric.goal_ratio is not None and to_base is not None:
        reached, text = metric.reaches(to_base.value, metric.goal_ratio), f"{sign} {metric.goal_ratio:g}x"
    elif metric.goal is not None and ours:
        reached, text = metric.reaches(median(ours), metric.goal), f"{sign} {metric.goal:g}"
    elif metric.goal_over is not None and ours and plain:
        reached = metric.reaches(median(ours) - median(plain), metric.goal_over)
        text = f"{sign} plain TCP + {metric.goal_over:g}"
    else:
        return ""
    return f"{text} {'yes' if reached else 'NO'}"


def table(document: dict[str, Any]) -> str:
    """Medians of every side, the ratio of ours to OpenSSH's with the rounds' spread, and the goal, in Markdown."""
    sides: dict[str, str] = document["sides"]
    values = values_of(document)
    header = ["", "unit", *sides.values(), "ratio to OpenSSH", "goal"]
    rows = []
    for metric in metrics_of(document):
        measured = values[metric.key]
        to_base = ratio(measured.get(OURS, ()), measured.get(BASE, ()))
        rows.append(
            [
                metric.label,
                metric.unit,
                *(number(median(measured[side])) if side in measured else "" for side in sides),
                f"{to_base.value:.2f} ±{to_base.percent:.0f} %" if to_base else "",
                _goal(metric, measured, to_base),
            ]
        )
    notes = list(document["notes"])
    if document["line"]:
        notes.insert(0, str(LineSpec(**document["line"])))
    return "\n".join([aligned([header, *rows]), *(f"\nNote: {note}" for note in notes)])


def aligned(rows: list[list[str]], texts: int = 2) -> str:
    """A Markdown table of a head and rows, whose first ``texts`` columns stand left and the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("| " + " | ".join(cells) + " |")
    rule = ["-" * width if column < texts else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def made_on(machine: dict[str, Any]) -> str:
    """When a run was, on which machine and with which versions."""
    things = f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}"
    return f"{machine['date']}: {things}, Twisted {machine['twisted']}"


def caption(document: dict[str, Any]) -> str:
    """One line that says when, where and how the figures were made."""
    machine, settings = document["machine"], document["settings"]
    rounds = f"medians of {settings['rounds']} rounds of {settings['seconds']:g} s"
    return f"{made_on(machine)}, {machine['openssh']}; {rounds}."


def page_part(document: dict[str, Any]) -> str:
    """What stands on the page of the run: caption and table."""
    return f"{caption(document)}\n\n{table(document)}"


def insert(page: str, part: str, begin_mark: str = BEGIN_MARK) -> str:
    """The page with ``part`` between a mark and the next end mark; :class:`BenchError` where it has none."""
    before, begin, rest = page.partition(begin_mark)
    _, end, after = rest.partition(END_MARK)
    if not end:
        raise BenchError(f"the page has no {begin_mark} and {END_MARK}")
    return f"{before}{begin}\n{part}\n{end}{after}"


def changes(document: dict[str, Any], kept: dict[str, Ratio], now: dict[str, Ratio]) -> str:
    """Which ratios have moved away from the kept ones by more than the noise, and which way."""
    lines = []
    metrics = metrics_of(document)
    for metric in metrics:
        if metric.key not in kept or metric.key not in now:
            continue
        factor = moved(kept[metric.key], now[metric.key])
        if factor is not None:
            word = "better" if (factor > 1) == (metric.better == "more") else "WORSE"
            before, after = kept[metric.key].value, now[metric.key].value
            lines.append(
                f"{word}: {metric.label}: {after:.2f}x OpenSSH, kept {before:.2f}x ({100 * (factor - 1):+.0f} %)"
            )
    if not kept:
        return "Nothing to compare with: bench/ratios.json is not there; a whole run with --keep writes it."
    compared = sum(metric.key in kept and metric.key in now for metric in metrics)
    if not compared:
        return "Nothing to compare with: bench/ratios.json has none of these ratios; --keep adds them."
    head = f"{len(lines)} of {compared} ratios moved by more than the noise."
    if any(note.startswith(FOREIGN_NOTE) for note in document["notes"]):
        head += " That means little: the machine was not this run's alone."
    return "\n".join([head, *lines])
