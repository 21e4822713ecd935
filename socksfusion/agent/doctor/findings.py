"""What the doctor finds at each step, and how it is told: a line each that can be forwarded as it is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from socksfusion.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step has found."""

    step: str
    """The step: ``name``, ``tcp`` …"""
    text: str
    """What is well, or what is wrong."""
    ask: str = ""
    """What to ask of whom, where something is wrong."""
    code: ExitCode = ExitCode.NORMAL
    """The exit code, where something is wrong."""
    left_out: bool = False
    """Whether the step was not taken."""

    @property
    def mark(self) -> str:
        """``ok``, ``!!`` (something is wrong) or ``--`` (left out)."""
        if self.left_out:
            return "--"
        return "ok" if self.code is ExitCode.NORMAL else "!!"

    @property
    def line(self) -> str:
        """The finding in one line."""
        ask = f" Ask: {self.ask}." if self.ask else ""
        end = "" if self.text.endswith(("?", ".")) else "."
        return f"[{self.mark}] {self.step}: {self.text}{end}{ask}"


class Trouble(Exception):
    """A step found something wrong; the steps after it on this way make no sense."""

    def __init__(self, step: str, text: str, ask: str, code: ExitCode) -> None:
        super().__init__(text)
        self.finding = Finding(step, text, ask, code)


def exit_code(findings: Sequence[Finding]) -> ExitCode:
    """The code of the first that is wrong."""
    return next((finding.code for finding in findings if finding.code is not ExitCode.NORMAL), ExitCode.NORMAL)


def as_json(findings: Sequence[Finding]) -> str:
    """All of them, for programs: ``{"exit_code": …, "findings": [{"step", "state", "text", "ask"}, …]}``."""
    told = [
        {"step": finding.step, "state": finding.mark, "text": finding.text, "ask": finding.ask} for finding in findings
    ]
    return json.dumps({"exit_code": int(exit_code(findings)), "findings": told}, indent=2, ensure_ascii=True)
