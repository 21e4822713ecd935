"""A release of the Agent: its executable and list of parts, signed by a key that is on no Proxy."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from socksfusion import children, limits
from socksfusion.errors import OperatorError
from socksfusion.log import printable

SIGNER: Final = "socksfusion-release"
"""The name of the signer and of the signatures' name space (``ssh-keygen -Y``)."""

EXECUTABLE: Final = "socksfusion-agent"
PARTS: Final = "socksfusion-agent.cdx.json"
SIGNERS: Final = "allowed_signers"
WINDOWS_EXECUTABLE: Final = "socksfusion-agent.exe"


class ReleaseError(OperatorError):
    """A release is not complete, or not by the release key; the text is for the user."""


@dataclass(frozen=True)
class Release:
    """The files of a release by their names in a bundle; ``*.sig`` are missing where it is not signed."""

    files: dict[str, bytes]

    @classmethod
    def read(cls, executable: Path) -> "Release":
        """The executable and what lies beside it; raises ``ReleaseError`` where it can't be read or is too long."""
        folder = executable.parent
        program = WINDOWS_EXECUTABLE if executable.suffix == ".exe" else EXECUTABLE
        sources = {program: executable, PARTS: folder / PARTS}
        optional = {f"{name}.sig": Path(f"{source}.sig") for name, source in sources.items()}
        optional[SIGNERS] = folder / SIGNERS
        sources |= optional
        files = {}
        for name, source in sources.items():
            try:
                with source.open("rb") as file:
                    files[name] = file.read(limits.BUNDLE_BYTES + 1)
            except FileNotFoundError:
                if name not in optional:
                    raise ReleaseError(f"there is no {printable(str(source))}; build it by: tox -e bundle")
            except OSError as error:
                raise ReleaseError(f"can't read {printable(str(source))}: {error.strerror}")
        if sum(map(len, files.values())) > limits.BUNDLE_BYTES:
            raise ReleaseError(f"{printable(str(executable))} is too long for a bundle")
        return cls(files)

    @property
    def executable(self) -> str:
        """The executable's name in it."""
        return WINDOWS_EXECUTABLE if WINDOWS_EXECUTABLE in self.files else EXECUTABLE

    def verify(self, signers: bytes) -> None:
        """Raise ``ReleaseError`` unless the executable and the list are signed by a key of ``signers``.

        ``signers`` is an allowed signers file (ssh-keygen(1), ALLOWED SIGNERS). ``ssh-keygen`` must be installed.
        """
        if EXECUTABLE in self.files and WINDOWS_EXECUTABLE in self.files:
            # one of them would go unsigned
            raise ReleaseError("it holds two executables, and a release has one: don't run them")
        signed = (self.executable, PARTS)
        for name in signed:
            if name not in self.files or f"{name}.sig" not in self.files:
                raise ReleaseError(f"{name} is not signed")
        with tempfile.TemporaryDirectory(prefix="socksfusion-") as folder:
            allowed = Path(folder, SIGNERS)
            allowed.write_bytes(signers)
            for name in signed:
                signature = Path(folder, "signature")
                signature.write_bytes(self.files[f"{name}.sig"])
                command = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", SIGNER, "-n", SIGNER]
                done = children.run([*command, "-s", str(signature)], given=self.files[name])
                if done.returncode != 0:
                    raise ReleaseError(f"{name} is not what the release key has signed: don't run it")

    def check_parts(self) -> None:
        """Raise ``ReleaseError`` where the list is another executable's, which the same key may have signed."""
        digest = hashlib.sha256(self.files[self.executable]).hexdigest()
        try:
            hashes = json.loads(self.files[PARTS])["metadata"]["component"]["hashes"]
            told = {one["content"] for one in hashes if one["alg"] == "SHA-256"}
        except (ValueError, LookupError, TypeError, RecursionError):
            told = set()
        if told != {digest}:
            raise ReleaseError(f"{PARTS} is another executable's list, not that of {self.executable}")
