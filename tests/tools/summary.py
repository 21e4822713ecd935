"""What pytest prints at the end: the tools that ran, and those that were left out, with the reason."""

from collections.abc import Iterable
from typing import Any

RAN = ("passed", "failed", "xfailed", "xpassed")


def lines(stats: dict[str, list[Any]]) -> list[str]:
    """A line for the tools that ran and one for each that none of its tests could drive."""
    ran = {tool: None for outcome in RAN for tool in _tools(stats.get(outcome, ()))}
    left_out = {
        tool: report.longrepr[2].removeprefix("Skipped: ")
        for report in stats.get("skipped", ())
        for tool in _tools([report])
        if tool not in ran and isinstance(report.longrepr, tuple)
    }
    told = [f"ran: {', '.join(sorted(ran, key=str.lower))}"] if ran else []
    return told + [f"left out: {tool}: {left_out[tool]}" for tool in sorted(left_out, key=str.lower)]


def _tools(reports: Iterable[Any]) -> list[str]:
    """Set by the tests' ``uses`` marker; it passes from xdist's workers with the report."""
    return [value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "tool"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    told = lines(terminalreporter.stats)
    if told:
        terminalreporter.section("real tools")
        for line in told:
            terminalreporter.write_line(line)
