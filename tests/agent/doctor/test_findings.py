"""How findings are told, and which of them gives the exit code."""

import json

import pytest

from socksfusion.agent.doctor.findings import Finding, Trouble, as_json, exit_code
from socksfusion.exit_codes import ExitCode

WELL = Finding("name", "proxy.example is 192.0.2.1")
WRONG = Finding("tcp", "is the Proxy running?", "who runs it", ExitCode.UNREACHABLE)
LATER = Finding("policy", "it is over", "the operator", ExitCode.DENIED)
LEFT_OUT = Finding("target", "none was given", left_out=True)


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (WELL, "[ok] name: proxy.example is 192.0.2.1."),
        (WRONG, "[!!] tcp: is the Proxy running? Ask: who runs it."),
        (LEFT_OUT, "[--] target: none was given."),
        (Trouble("tls", "silent", "them", ExitCode.TLS).finding, "[!!] tls: silent. Ask: them."),
    ],
    ids=["well", "wrong", "left out", "trouble"],
)
def test_a_line_each(finding: Finding, line: str) -> None:
    assert finding.line == line


def test_the_first_trouble_gives_the_code() -> None:
    assert exit_code([]) is ExitCode.NORMAL
    assert exit_code([WELL, LEFT_OUT]) is ExitCode.NORMAL
    assert exit_code([WELL, WRONG, LATER]) is ExitCode.UNREACHABLE


def test_as_json() -> None:
    told = json.loads(as_json([WELL, WRONG]))
    assert told["exit_code"] == 23
    assert told["findings"][1] == {"step": "tcp", "state": "!!", "text": WRONG.text, "ask": WRONG.ask}
