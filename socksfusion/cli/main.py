"""The command `socksfusion`; each noun has a module of its own. Exit codes are ``socksfusion.exit_codes``'s.

What goes wrong is told here, in one place: one line on standard error that begins with ``socksfusion:``.
"""

import sys
from typing import Any

from socksfusion import __version__
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.options import complain, install_hint, visible

try:
    import click

    from socksfusion.cli.agent import agent
    from socksfusion.cli.init import init
    from socksfusion.cli.state_option import state_option
except ModuleNotFoundError as missing:
    complain("socksfusion", f"{missing.name} is not installed here; {install_hint('proxy')}")
    sys.exit(ExitCode.UNEXPECTED)


class _Told(click.ClickException):
    def __init__(self, error: OperatorError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:
        click.echo(f"socksfusion: {visible(self.message)}", file=file, err=True)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            raise _Told(error) from error


_EPILOG = """\b
Examples:
  export SOCKSFUSION_STATE=/var/lib/socksfusion
  socksfusion init --name proxy.example.org
  socksfusion agent add acme
  socksfusion agent list

\b
Exit codes: 0 done; 2 an argument, option or variable is wrong, or a secret lies open;
3 the state folder or its registry can't be used; 1 anything else.
"""


@click.group(cls=_Group, epilog=_EPILOG)
@click.version_option(__version__, message="%(prog)s %(version)s")
@state_option
def main() -> None:
    """Set up a SocksFusion Proxy and its agents."""


main.add_command(init)
main.add_command(agent)

if __name__ == "__main__":
    main(prog_name="socksfusion")
