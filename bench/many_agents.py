"""``python -m bench.many_agents FOLDER``: every Agent whose copy lies in the folder, in one process.

What ``twistd socksfusion-agent`` builds for one, built for each of them; the messages of all go to standard output.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.agents_side import STARTED
from socksfusion.agent.options import Options
from socksfusion.agent.service import build
from socksfusion.program import Program


def agent_program(reactor: object, copy: Path) -> Program:
    """One Agent, which may reach loopback."""
    options = Options()
    options.parseOptions(["--copy", str(copy), "--allow", "127.0.0.0/8"])
    program = Program(reactor, options)
    build(program)
    return program


def main(arguments: Sequence[str]) -> int:
    """Run until a signal ends it."""
    from twisted.internet import reactor
    from twisted.internet.interfaces import IReactorCore

    core = IReactorCore(reactor)
    programs = [agent_program(reactor, copy) for copy in sorted(Path(arguments[0]).glob("*.agent"))]

    def start() -> None:
        print(STARTED, flush=True)
        for program in programs:
            program.startService()

    core.callWhenRunning(start)
    core.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
