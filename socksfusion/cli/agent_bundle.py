"""`--bundle OUT.zip`: all that an agent's machine needs, in one file."""

from pathlib import Path

import click

from socksfusion.errors import UsageError
from socksfusion.identity.agent_bundle import bundle_files, read_release
from socksfusion.identity.bundle import pack
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.private_files import PrivateFileError, create_private, shown
from socksfusion.identity.state import StateFolder

_bundle_help = "Write no copy but a bundle: the copy, the Agent's executable, recipes and a page."
_executable_help = (
    "The executable for the bundle; its signature and list of parts lie beside it.  "
    "[default: what `release import` kept]"
)
bundle_option = click.option("--bundle", metavar="FILE.zip", type=click.Path(path_type=Path), help=_bundle_help)
executable_option = click.option("--executable", metavar="FILE", type=click.Path(path_type=Path), help=_executable_help)


def check_outputs(bundle: Path | None, out: Path | None) -> None:
    """Raise ``UsageError`` where a bundle and a copy are asked for."""
    if bundle is not None and out is not None:
        raise UsageError("--bundle and --out exclude each other: the copy lies in the bundle")


def save_bundle(state: StateFolder, copy: AgentCopy, executable: Path | None, path: Path) -> Path:
    """Write the bundle of ``copy`` to ``path``, which must be free, with mode 0600; ``path``.

    With the state folder's release or with ``executable`` and what lies beside it. Raises ``OperatorError``.
    """
    release, checked = read_release(state, executable)
    if not checked:
        click.echo(
            "The executable was not checked: no release key is known here (socksfusion release import).", err=True
        )
    try:
        create_private(path, pack(bundle_files(copy, release)))
    except FileExistsError:
        raise UsageError(f"{shown(path)} exists already; give another name, or move it away")
    except PrivateFileError as error:
        raise UsageError(str(error))
    return path


def tell_bundle(copy: AgentCopy, path: Path) -> None:
    """What to do with it."""
    click.echo(f"The bundle of agent {copy.agent} for the Proxy at {copy.proxy} is {path}.")
    click.echo("It holds a private key: hand it over by a way that nobody else can read. README.txt tells the rest.")
