"""The live line of `socksfusion scan watch`."""

import sys
import time
from collections.abc import Callable

import click

from socksfusion.cli.scan_report import found, state_of
from socksfusion.durations import format_duration
from socksfusion.registry.schema import ScanTotals
from socksfusion.registry.store import Registry

_SHOWN = ("open", "closed", "filtered", "not tested")
_EVERY_SECONDS = 1.0  # the Proxy writes what it has found as often


def watch(
    registry: Registry,
    scan: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    seconds: Callable[[], float] = time.monotonic,
) -> None:
    """Show the scan ``scan`` until it ends: one line that is written over, or a line a change where none can be."""
    over = sys.stdout.isatty()
    before, at, shown = registry.scans.totals(scan).get(scan), seconds(), ""
    while True:
        running = registry.scans.get(scan)
        totals, now = registry.scans.totals(scan)[scan], seconds()
        rate = _opens_a_second(before, totals, now - at)
        before, at = totals, now
        text = f"{state_of(running)} {format_duration(round(_length(running.started, running.ended)))}  "
        facts = line(totals, rate)
        if over:
            click.echo(f"\r{text}{facts}\x1b[K", nl=False)
        elif facts != shown or running.ended is not None:
            click.echo(text + facts)
        shown = facts
        if running.ended is not None:
            if over:
                click.echo()
            return
        if not registry.is_served():
            registry.scans.end_overdue()
        sleep(_EVERY_SECONDS)


def line(totals: ScanTotals, rate: float) -> str:
    """What a live line says of a scan's counts."""
    counts = found(totals)
    results = "  ".join(f"{word} {counts[word]:,}" for word in _SHOWN)
    return f"streams {totals.notes.streams:,}  {rate:,.0f}/s  {results}  cut {totals.cut:,}"


def _opens_a_second(before: ScanTotals | None, after: ScanTotals, seconds: float) -> float:
    earlier = sum(before.notes.results.values()) if before else 0
    return (sum(after.notes.results.values()) - earlier) / seconds if seconds > 0 else 0.0


def _length(started: float, ended: float | None) -> float:
    return max(0.0, (time.time() if ended is None else ended) - started)
