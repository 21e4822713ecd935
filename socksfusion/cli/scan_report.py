"""Scans as people and programs read them: table, lines, JSON."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from socksfusion.cli.tables import as_columns, as_facts, moment
from socksfusion.durations import format_duration
from socksfusion.registry.schema import Gap, Scan, ScanTotals, Untested

WORDS: Final = {
    0: "open",
    5: "closed",
    6: "filtered",
    4: "unreachable",
    3: "unreachable",
    2: "denied",
    1: "not tested",
    7: "not supported",
    8: "not supported",
}
"""SOCKS reply to what it says of a target."""

_HEADINGS = ("ID", "STATE", "AGENT", "PORT", "BY", "STARTED", "OPEN", "CLOSED", "FILTERED", "NOT TESTED", "CUT")
# a stream is cut, and a held open fails, about when its gap begins and ends, not exactly then
_SLACK_SECONDS = 1.0

Detail = tuple[Sequence[Gap], Sequence[Untested]]


def found(totals: ScanTotals) -> dict[str, int]:
    """How many opens ended in each of ``WORDS``; all of them that occur, and always those that a scan is about."""
    counts = dict.fromkeys(("open", "closed", "filtered", "not tested"), 0)
    for reply, count in totals.notes.results.items():
        word = WORDS.get(reply, "not tested")
        counts[word] = counts.get(word, 0) + count
    # whoever did not wait for a reply left something untested too
    counts["not tested"] = max(counts["not tested"], totals.not_tested)
    return counts


def state_of(scan: Scan) -> str:
    """One word for people."""
    if scan.ended is None:
        return "running"
    return scan.why_ended or "ended"


def as_table(scans: Sequence[tuple[Scan, ScanTotals]]) -> str:
    """A line a scan under a line of headings."""
    return as_columns(_HEADINGS, (_row(scan, totals) for scan, totals in scans))


def _row(scan: Scan, totals: ScanTotals) -> tuple[str, ...]:
    counts = found(totals)
    numbers = (str(counts[word]) for word in ("open", "closed", "filtered", "not tested"))
    port = "-" if scan.port is None else str(scan.port)
    who = scan.by or "-"
    return (scan.id, state_of(scan), scan.agent, port, who, moment(scan.started) or "-", *numbers, str(totals.cut))


def as_lines(scan: Scan, totals: ScanTotals, gaps: int) -> str:
    """A line a fact."""
    end = scan.until if scan.ended is None else scan.ended
    facts = [
        ("SCAN", scan.id),
        ("STATE", state_of(scan)),
        ("AGENT", scan.agent),
        (
            "BEGUN",
            ("by command" if scan.kind == "explicit" else "by a connection") + (f", {scan.by}" if scan.by else ""),
        ),
        ("STARTED", moment(scan.started) or "-"),
        ("ENDS" if scan.ended is None else "ENDED", moment(end) or "when it is stopped or idle"),
        ("PORT", "-" if scan.port is None else str(scan.port)),
        ("ALLOW", ", ".join(scan.allow) or "as far as the agent allows"),
    ]
    if scan.port_trouble and scan.ended is None:
        facts.append(("PORT TROUBLE", scan.port_trouble))
    if scan.connect_timeout is not None:
        facts.append(("CONNECT", format_duration(scan.connect_timeout)))
    if scan.hold is not None:
        facts.append(("HOLD", format_duration(scan.hold)))
    facts += [
        ("DIALLED FROM", ", ".join(sorted(totals.notes.sources)) or "-"),
        ("STREAMS", f"{totals.notes.streams:,}"),
        ("TO TARGETS", f"{totals.notes.bytes_to_target:,} bytes"),
        ("TO CLIENTS", f"{totals.notes.bytes_to_client:,} bytes"),
        *((word.upper(), f"{count:,}") for word, count in found(totals).items()),
        ("CUT", f"{totals.cut:,}"),
        ("GAPS", str(gaps)),
    ]
    return as_facts(facts)


def gaps_as_lines(gaps: Sequence[Gap], untested: Sequence[Untested], totals: ScanTotals) -> str:
    """Each gap, and under it the targets that were cut or not tested in it; then those of no gap."""
    by_gap, rest = _sorted_in(gaps, untested)
    lines = []
    for gap, targets in zip(gaps, by_gap, strict=True):
        lasted = "it goes on" if gap.ended is None else format_duration(max(0.0, gap.ended - gap.began))
        lines.append(f"gap of {moment(gap.began)}: {lasted}, {len(targets)} targets")
        lines += map(_target_line, targets)
    if rest:
        lines.append(f"in no gap: {len(rest)} targets")
        lines += map(_target_line, rest)
    missing = totals.cut + totals.not_tested - len(untested)
    if missing > 0:
        lines.append(f"and {missing:,} more that were only counted")
    return "\n".join(lines or ["no gaps, and nothing was cut or not tested"])


def _target_line(one: Untested) -> str:
    host = f"[{one.host}]" if ":" in one.host else one.host
    at = time.strftime("%H:%M:%S", time.localtime(one.at))
    return f"  {at} {host}:{one.port} {one.what}: {one.why}"


def _sorted_in(gaps: Sequence[Gap], untested: Sequence[Untested]) -> tuple[list[list[Untested]], list[Untested]]:
    by_gap: list[list[Untested]] = [[] for _ in gaps]
    rest: list[Untested] = []
    last = -1
    for one in untested:  # both are in the order of time
        while last + 1 < len(gaps) and gaps[last + 1].began - _SLACK_SECONDS <= one.at:
            last += 1
        ended = gaps[last].ended if last >= 0 else float("-inf")
        inside = ended is None or one.at <= ended + _SLACK_SECONDS
        (by_gap[last] if inside else rest).append(one)
    return by_gap, rest


def as_json(scan: Scan, totals: ScanTotals, detail: Detail | None = None) -> dict[str, Any]:
    """The same for programs; ``detail`` adds ``gaps`` and ``untested``."""
    notes = totals.notes
    record: dict[str, Any] = {
        "id": scan.id,
        "state": state_of(scan),
        "agent": scan.agent,
        "kind": scan.kind,
        "by": scan.by,
        "started": moment(scan.started),
        "ended": moment(scan.ended),
        "until": moment(scan.until),
        "port": scan.port,
        "port_trouble": scan.port_trouble,
        "allow": list(scan.allow),
        "connect_timeout": scan.connect_timeout,
        "hold": scan.hold,
        "sources": sorted(notes.sources),
        "streams": notes.streams,
        "bytes_to_target": notes.bytes_to_target,
        "bytes_to_client": notes.bytes_to_client,
        "replies": {f"0x{reply:02x}": count for reply, count in sorted(notes.results.items())},
        "results": {word.replace(" ", "_"): count for word, count in found(totals).items()},
        "cut": totals.cut,
        "complete": not totals.incomplete,
    }
    if detail is not None:
        gaps, untested = detail
        record["gaps"] = [
            {"began": moment(gap.began, exact=True), "ended": moment(gap.ended, exact=True)} for gap in gaps
        ]
        record["untested"] = [
            {"at": moment(one.at, exact=True), "host": one.host, "port": one.port, "what": one.what, "why": one.why}
            for one in untested
        ]
    return record


def about_targets(hosts: Sequence[str], ports: str, strange: int, totals: ScanTotals, listed: int) -> Iterator[str]:
    """What whoever reads the list of hosts should know beside it."""
    if ports:
        yield f"their ports: -p {ports}"
    if any(":" in host for host in hosts):
        yield "IPv6 addresses are among them: nmap reads those with -6, and without it the others"
    if strange:
        yield f"left out: {strange} that are neither a host name nor an address"
    missing = totals.cut + totals.not_tested - listed
    if missing > 0:
        yield f"left out: {missing:,} that were only counted"
