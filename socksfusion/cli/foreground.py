"""``socksfusion-proxy`` and ``socksfusion-agent``: the twistd plugins in the foreground, without a pid file."""

import sys
from collections.abc import Sequence

from twisted.python import usage
from twisted.scripts.twistd import ServerOptions, runApp  # type: ignore[attr-defined] # imported there by platform

from socksfusion.exit_codes import ExitCode
from socksfusion.options import complain

_PASSED_ON = ("--logfile", "--reactor")
"""Options of twistd itself; everything else is the program's."""


class _Foreground(ServerOptions):
    """twistd's options with a synopsis that names the console script instead."""

    synopsis = "Usage:"


def proxy() -> None:
    """Run the Proxy; see docs for its exit codes."""
    run("socksfusion-proxy", sys.argv[1:])


def run(program: str, arguments: Sequence[str]) -> None:
    """Do what ``twistd -n --pidfile= PROGRAM ARGUMENTS`` does, in this process."""
    for_twistd, own = split_arguments(arguments)
    options = _Foreground()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(  # type: ignore[no-untyped-call]
            ["--nodaemon", "--pidfile=", *for_twistd, program, *own]
        )
    except usage.UsageError as error:
        complain(program, f"{error} (--help tells the options)")
        raise SystemExit(ExitCode.USAGE) from None
    runApp(options)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """twistd's arguments and the program's own."""
    for_twistd: list[str] = []
    own: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _PASSED_ON:
            for_twistd += [argument, *(value for value in [next(rest, None)] if value is not None)]
        elif argument.startswith(tuple(f"{name}=" for name in _PASSED_ON)):
            for_twistd.append(argument)
        else:
            own.append(argument)
    return for_twistd, own
