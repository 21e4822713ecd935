"""What an Agent has printed: the seven messages and nothing else."""

import re
from datetime import datetime

from tests.end_to_end.programs import Program, wait_until

CONNECTING = "Connecting to server..."
ESTABLISHED = "Connection established"
NOT_REGISTERED = "This agent is not registered"
ALREADY_CONNECTED = "Another agent already connected"
SCAN = "Scan is started"
RUNNING = "Running"
UNREACHABLE = "Target is unreachable: "

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
_PLAIN = "|".join(map(re.escape, (CONNECTING, ESTABLISHED, NOT_REGISTERED, ALREADY_CONNECTED, SCAN, RUNNING)))
_LINE = re.compile(rf"({_TIME}) ({_PLAIN}|{UNREACHABLE}[ -~]+:\d+)")


def told(agent: Program) -> list[tuple[datetime, str]]:
    """Every line that came on standard output, as time and message; a line of another form fails the test."""
    lines = []
    for line in list(agent.out):
        matched = _LINE.fullmatch(line)
        assert matched, f"not one of the seven messages: {line!r}"
        lines.append((datetime.fromisoformat(matched[1]), matched[2]))
    return lines


def messages(agent: Program) -> list[str]:
    """The same without the times."""
    return [message for _, message in told(agent)]


def wait_for(agent: Program, message: str, times: int = 1) -> None:
    """Wait until ``agent`` has said ``message`` so many times, from its start."""
    wait_until(lambda: messages(agent).count(message) >= times, lambda: (agent.out, agent.log))


def wait_for_heartbeat(agent: Program) -> None:
    """Wait for a ``Running`` that the Proxy sends from now on: all that it said before is printed then."""
    # one may be on its way already
    wait_for(agent, RUNNING, messages(agent).count(RUNNING) + 2)
