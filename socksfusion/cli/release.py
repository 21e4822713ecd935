"""`socksfusion release …`: the Agent's executable that bundles are made of."""

from pathlib import Path

import click

from socksfusion.cli.state_option import given_state, state_option
from socksfusion.errors import UsageError
from socksfusion.identity.agent_bundle import known_signers
from socksfusion.identity.private_files import PrivateFileError, write_private
from socksfusion.identity.release import SIGNERS, Release


@click.group(short_help="The Agent's executable, for bundles.")
def release() -> None:
    """Keep a signed release of the Agent, which `agent add --bundle` packs."""


@release.command(
    "import",
    short_help="Check a release and keep it.",
    epilog="\b\nExamples:\n  socksfusion release import dist/agent/socksfusion-agent\n"
    "  socksfusion release import socksfusion-agent --signers release-key.allowed_signers",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--signers",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The release's public key, an allowed signers file of ssh-keygen; kept for later ones.  "
    "[default: the one kept, or, the first time, what lies beside FILE]",
)
@state_option
def import_(file: Path, signers: Path | None) -> None:
    """Check the executable FILE and the list of parts beside it, and keep them in the state folder.

    Both must be signed by the release key. The key itself is never needed on this machine.
    """
    state = given_state().open()
    found = Release.read(file.absolute())
    kept = known_signers(state)
    try:
        if signers is not None:
            known = signers.read_bytes()
        elif kept.exists():
            known = kept.read_bytes()
        elif SIGNERS in found.files:
            known = found.files[SIGNERS]
            click.echo("The first release decides whose later ones are taken; compare its key:", err=True)
            click.echo(f"  {known.decode(errors='replace').strip()}", err=True)
        else:
            raise UsageError("say whose release this is: --signers FILE")
    except OSError as error:
        raise UsageError(f"can't read {error.filename}: {error.strerror}")
    found.verify(known)
    _keep(kept.parent, {**found.files, SIGNERS: known})
    click.echo(f"The release is {file}, signed as it should be; agent add NAME --bundle OUT.zip packs it.")


def _keep(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, content in files.items():
            write_private(folder / name, content)
    except PrivateFileError as error:
        raise UsageError(str(error))
    except OSError as error:
        raise UsageError(f"can't write {folder}: {error.strerror}")
