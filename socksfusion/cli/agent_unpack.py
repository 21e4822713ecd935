"""`socksfusion-agent unpack FILE.zip`: a bundle is looked at, its signatures first of all, and then unpacked."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from twisted.python import usage

from socksfusion.cli.command_options import CommandOptions
from socksfusion.errors import UsageError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity import bundle
from socksfusion.identity.release import Release
from socksfusion.options import Parameter, path


class UnpackOptions(CommandOptions):
    """What to unpack, by whose signature, and where to: ``options["file"]``."""

    synopsis = "Usage: socksfusion-agent unpack FILE.zip --signers FILE [--into FOLDER]"
    longdesc = (
        "Checks a bundle and unpacks it into a new folder, all of it or nothing. The executable and the list of parts "
        "must be signed by a key of --signers, which you have from elsewhere than this bundle. Needs ssh-keygen."
    )
    optParameters: ClassVar[Sequence[Parameter]] = [
        path("signers", "file with the release's public key, in the form of ssh-keygen's allowed signers"),
        path("into", "folder to make; without it the bundle is checked only"),
    ]

    def parseArgs(self, *files: str) -> None:
        """One bundle."""
        if len(files) != 1:
            raise usage.UsageError("unpack needs one FILE.zip")
        self["file"] = Path(files[0])

    def postOptions(self) -> None:
        """Without a known key a signature says nothing."""
        if self["signers"] is None:
            raise usage.UsageError("--signers FILE is missing: the release's public key")


def run(arguments: Sequence[str]) -> ExitCode:
    """Unpack; ``OperatorError`` and ``usage.UsageError`` say why not."""
    options = UnpackOptions()
    # getopt reads no option after what is none
    file_first = bool(arguments) and not arguments[0].startswith("-")
    options.parseOptions(  # type: ignore[no-untyped-call]
        [*arguments[1:], arguments[0]] if file_first else arguments
    )
    try:
        signers = Path(options["signers"]).read_bytes()
    except OSError as error:
        raise UsageError(f"can't read {options['signers']}: {error.strerror}")
    files = bundle.read(options["file"])
    release = Release(files)
    release.verify(signers)
    release.check_parts()
    print(f"The executable and the list of parts in {options['file']} are the release key's.")
    if options["into"] is not None:
        bundle.write(files, Path(options["into"]))
        print(f"They lie in {options['into']}, with {len(files) - 2} more files, which that key says nothing about.")
    return ExitCode.NORMAL
