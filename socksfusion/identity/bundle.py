"""A bundle: one zip with all that an Agent's machine needs, and how it is read from somebody whom nobody trusts yet.

It holds files in no folder. What is read is bounded before it is unpacked, and nothing is written before all of it was
looked at (attacks.md, row H4).
"""

import io
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from socksfusion import limits
from socksfusion.errors import OperatorError
from socksfusion.identity.private_files import shown
from socksfusion.log import printable

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
# Windows keeps these for devices, with any ending
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LAID_OUT: Final = (1980, 1, 1, 0, 0, 0)
PRIVATE: Final = 0o600
PROGRAM: Final = 0o755
PUBLIC: Final = 0o644


class BundleError(OperatorError):
    """A file is no bundle, or one that is not to be unpacked; the text is for the user."""


def mode_of(name: str) -> int:
    """The mode that a file of a bundle gets: copies are private, the executable is executable."""
    if name.endswith(".agent"):
        return PRIVATE
    return PROGRAM if name in ("socksfusion-agent", "socksfusion-agent.exe") else PUBLIC


def pack(files: Mapping[str, bytes]) -> bytes:
    """The zip of these files by their names; the same files give the same bytes."""
    out = io.BytesIO()
    pack_into(out, files)
    return out.getvalue()


def pack_into(out: IO[bytes], files: Mapping[str, bytes]) -> None:
    """Write that zip to ``out``, which can seek."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name, _LAID_OUT)
            info.create_system = 3  # the one whose modes unzip sets
            info.external_attr = (stat.S_IFREG | mode_of(name)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)


def read(path: Path) -> dict[str, bytes]:
    """The files of the bundle at ``path``; ``BundleError`` where it isn't a sound one within ``limits.BUNDLE_*``."""
    try:
        with path.open("rb") as file:
            data = file.read(limits.BUNDLE_BYTES + 1)
    except OSError as error:
        raise BundleError(f"can't read {shown(path)}: {error.strerror}")
    if len(data) > limits.BUNDLE_BYTES:
        raise BundleError(f"{shown(path)} is longer than any bundle")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_all(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, ValueError) as error:
        raise BundleError(f"{shown(path)} is damaged, or no zip: {printable(str(error), 200)}")


def _read_all(archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = archive.infolist()
    if len(entries) > limits.BUNDLE_FILES:
        raise BundleError(f"it holds {len(entries)} files, more than any bundle")
    names = [entry.filename.lower() for entry in entries]
    if len(set(names)) != len(names):
        raise BundleError("it holds two files of one name")
    for entry in entries:
        _check(entry)
    files: dict[str, bytes] = {}
    left = limits.BUNDLE_BYTES
    for entry in entries:
        with archive.open(entry) as file:
            # what it says of its size may be a lie
            content = file.read(left + 1)
        left -= len(content)
        if left < 0:
            raise BundleError("unpacked it is longer than any bundle")
        files[entry.filename] = content
    return files


def _check(entry: zipfile.ZipInfo) -> None:
    name = printable(entry.orig_filename, 200)
    if (
        entry.filename != entry.orig_filename
        or not _NAME.fullmatch(entry.filename)
        or _DEVICES.fullmatch(entry.filename)
    ):
        raise BundleError(f"it holds {name!r}, which is no plain name of a file")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise BundleError(f"{name} in it is a link or another thing that is no file")
    if entry.flag_bits & 0x1:
        raise BundleError(f"{name} in it is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"{name} in it is packed in a way that bundles don't use")


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Make ``folder`` with these files: whole, or not at all. Raises ``BundleError``, also where it exists already."""
    if os.path.lexists(folder):
        raise BundleError(f"{shown(folder)} exists already; name a folder that doesn't")
    unfinished = None
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        for name, content in files.items():
            descriptor = os.open(
                unfinished / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
            )
            with open(descriptor, "wb") as file:
                file.write(content)
            (unfinished / name).chmod(mode_of(name))
        unfinished.rename(folder)
    except OSError as error:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        raise BundleError(f"can't write {shown(folder)}: {error.strerror}")
