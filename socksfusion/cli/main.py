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
    from socksfusion.cli.client import client
    from socksfusion.cli.init import init
    from socksfusion.cli.release import release
    from socksfusion.cli.scan import scan
    from socksfusion.cli.state_option import state_option
except ModuleNotFoundError as missing:
    complain("socksfusion", f"{missing.name} is not installed here; {install_hint('proxy')}")
    sys.exit(ExitCode.UNEXPECTED)


class _Told(click.ClickException):
    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:
        click.echo(f"socksfusion: {visible(self.message)}", file=file, err=True)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            raise _Told(str(error), error.exit_code) from error
        except click.UsageError as error:
            raise _one_line(error) from error

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _one_line(error) from error


def _one_line(error: click.UsageError) -> click.ClickException:
    """Click's own complaint in our form; it would print three lines. A group without a command shows its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    command = error.ctx.command_path if error.ctx else "socksfusion"
    return _Told(f"{error.format_message()} ({command} --help tells more)", ExitCode.USAGE)


_EPILOG = """\b
Examples:
  export SOCKSFUSION_STATE=/var/lib/socksfusion
  socksfusion init --name proxy.example.org
  socksfusion agent add acme
  socksfusion agent list
  socksfusion client add alice --agents acme
  socksfusion scan start acme --for 2h

\b
Exit codes: 0 done; 2 an argument, option or variable is wrong, or a secret lies open;
3 the state folder or its registry can't be used, or, of `scan show` and `scan stop`, which
print the scan then: something was not tested; 1 anything else.

\b
Completion of names by TAB, in bash (or zsh, fish):
  eval "$(_SOCKSFUSION_COMPLETE=bash_source socksfusion)"
"""


@click.group(cls=_Group, epilog=_EPILOG)
@click.version_option(__version__, message="%(prog)s %(version)s")
@state_option
def main() -> None:
    """Set up a SocksFusion Proxy, its agents, clients and scans."""


for command in (init, agent, client, scan, release):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="socksfusion")
