"""``socksfusion-agent``: the Agent in the foreground, or one of the commands that its admin has beside it.

The first argument decides: a word is a command, an option or none at all runs the Agent. All of it works where the
Proxy's packages are not installed. The modules of commands are imported at every start, so each imports what it alone
needs where it is run, and never the reactor before that.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.python import usage

from socksfusion.cli import (
    agent_control,
    agent_doctor,
    agent_explain,
    agent_service,
    agent_uninstall,
    agent_unpack,
    foreground,
)
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.options import complain

PROGRAM: Final = "socksfusion-agent"


@dataclass(frozen=True)
class Command:
    """What ``socksfusion-agent NAME`` does instead of running the Agent."""

    name: str
    summary: str
    """What it does, for the list in the help."""
    run: Callable[[Sequence[str]], ExitCode]
    """Given the arguments after the name; ``OperatorError`` and ``usage.UsageError`` become a line and a code."""


COMMANDS: Final = (
    Command("explain", "say whether HOST:PORT would be dialled, and by which rule", agent_explain.run),
    Command("doctor", "walk the way to the Proxy, and say what is well and what to ask of whom", agent_doctor.run),
    Command("pause", "cut every connection and open none, until resumed or for a time", agent_control.pause),
    Command("resume", "end a pause", agent_control.resume),
    Command("stop-scan", "cut every connection, and have the Proxy end the scans", agent_control.stop_scan),
    Command("status", "tell what the running Agent does", agent_control.status),
    Command("install-service", "install the Agent as a systemd service that starts at boot", agent_service.install),
    Command("unpack", "check the signatures of a bundle, and unpack it", agent_unpack.run),
    Command("uninstall", "remove that service with all that it keeps, and tell the Proxy", agent_uninstall.uninstall),
)


def main() -> None:
    """Run the Agent or a command; see docs for the exit codes."""
    arguments = sys.argv[1:]
    if arguments and not arguments[0].startswith("-"):
        raise SystemExit(run_command(arguments[0], arguments[1:]))
    try:
        foreground.run(PROGRAM, arguments)
    finally:
        if "--help" in arguments:
            print(commands_help())


def run_command(name: str, arguments: Sequence[str]) -> ExitCode:
    """Run the command ``name``; what goes wrong is told here, in one line on standard error."""
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        complain(PROGRAM, f"{name!r} is no command (--help tells the commands and options)")
        return ExitCode.USAGE
    try:
        return command.run(arguments)
    except OperatorError as error:
        complain(PROGRAM, str(error))
        return error.exit_code
    except usage.UsageError as error:
        complain(PROGRAM, f"{error} ({name} --help tells the options)")
        return ExitCode.USAGE


def commands_help() -> str:
    """The commands with what they do, a line each."""
    width = max(len(command.name) for command in COMMANDS)
    lines = (f"  {command.name.ljust(width)}  {command.summary}" for command in COMMANDS)
    return "\n".join(["Commands (socksfusion-agent COMMAND --help tells more):", *lines])
