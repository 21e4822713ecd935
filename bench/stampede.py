"""``python -m bench.stampede [AGENTS [SECONDS]]``: many Agents lose their Proxy and come back.

The Proxy is killed, is away for so many seconds, and starts again. Counted are the Agents' dials, from the times of the
lines that they print: after a loss they must be spread over the wait, and not come together.
"""

import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from bench.agents_side import ManyAgentsSide
from bench.generator import Generator, build

AGENTS, AWAY_SECONDS = 500, 20.0
CONNECTING = re.compile(r"^(\S+) Connecting to server\.\.\.$", re.MULTILINE)


def dials(log: str, since: float) -> list[float]:
    """When each dial began, in seconds after ``since`` (Unix seconds), in order; those before it are left out."""
    moments = (datetime.fromisoformat(told).timestamp() - since for told in CONNECTING.findall(log))
    return sorted(moment for moment in moments if moment >= 0)


def busiest(moments: Iterable[float], span_seconds: float) -> int:
    """The most dials in one of the spans that follow each other."""
    return max(Counter(int(moment / span_seconds) for moment in moments).values(), default=0)


def report(moments: Sequence[float], agents: int, away: float, back: float) -> str:
    """What the run showed."""
    lines = [f"{agents} agents, their Proxy away for {away:g} s", "second  dials"]
    per_second = Counter(int(moment) for moment in moments)
    lines += [f"{second:6d}  {per_second[second]:5d}" for second in range(int(max(moments, default=0)) + 1)]
    lines.append(f"busiest 0.1 s: {busiest(moments, 0.1)} dials")
    lines.append(f"all served again {back:.1f} s after the Proxy was back")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run it once and print what it showed."""
    agents = int(arguments[0]) if arguments else AGENTS
    away = float(arguments[1]) if len(arguments) > 1 else AWAY_SECONDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        side = ManyAgentsSide(folder, Generator(build()), agents=agents)
        try:
            side.start()
            lost = time.time()
            side.proxy.kill()
            time.sleep(away)
            back = side.wait_for_all(side.start_proxy("proxy-again.log"))
            moments = dials(side.agents.log.read_text(), lost)
        finally:
            side.stop()
    print(report(moments, agents, away, back))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
