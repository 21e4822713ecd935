"""``socksfusion-proxy`` and ``socksfusion-agent``: the twistd plugins in the foreground, without a pid file."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from twisted.application.service import ServiceMaker
from twisted.python import usage
from twisted.scripts.twistd import ServerOptions, runApp  # type: ignore[attr-defined] # imported there by platform

from socksfusion.exit_codes import ExitCode
from socksfusion.options import complain

_PASSED_ON = ("--logfile", "--reactor")
"""Options of twistd itself; everything else is the program's."""


_MODULES: Final = {"socksfusion-proxy": "socksfusion.proxy.tap", "socksfusion-agent": "socksfusion.agent.tap"}
"""What each program's twistd plugin names."""


class _Foreground(ServerOptions):
    """twistd's options for one program, with a synopsis that names its console script instead.

    twistd looks for plugins in folders: it would find none in a program that is a single file.
    """

    synopsis = "Usage:"

    def __init__(self, program: str) -> None:
        self._program = program
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def subCommands(self) -> Iterator[tuple[str, None, Callable[[], Any], str]]:
        """The program alone; Twisted asks for its options only where it is named."""
        maker = ServiceMaker(self._program, _MODULES[self._program], self._program, self._program)
        self.loadedPlugins = {maker.tapname: maker}
        yield maker.tapname, None, lambda: maker.options(), maker.description


def proxy() -> None:
    """Run the Proxy; see docs for its exit codes."""
    run("socksfusion-proxy", sys.argv[1:])


def run(program: str, arguments: Sequence[str]) -> None:
    """Do what ``twistd -n --pidfile= PROGRAM ARGUMENTS`` does, in this process."""
    for_twistd, own = split_arguments(arguments)
    options = _Foreground(program)
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
