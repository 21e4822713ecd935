"""What the options of the commands beside the Agent have in common."""

from typing import NoReturn

from twisted.python import usage

from socksfusion import __version__
from socksfusion.exit_codes import ExitCode
from socksfusion.log import printable


class CommandOptions(usage.Options):
    """Base of a command's options: it takes no arguments beside them, and its version is the Agent's."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def parseArgs(self, *stray: str) -> None:
        """Refuse what belongs to no option."""
        if stray:
            raise usage.UsageError(f"{printable(stray[0])!r} belongs to no option")

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"socksfusion-agent {__version__}")
        raise SystemExit(ExitCode.NORMAL)
