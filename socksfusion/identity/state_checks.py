"""Whether a state folder can be trusted: its owner, its mode, and those of the files in it."""

import os
import stat
from pathlib import Path

from socksfusion.errors import StateError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.private_files import (
    ExposedFileError,
    PrivateFileError,
    check_private,
    read_private,
    shown,
)
from socksfusion.posix import user_name


class ExposedStateError(StateError):
    """A key or the folder itself is open to others."""

    exit_code = ExitCode.USAGE


def check_owner(folder: Path) -> None:
    """Raise ``StateError`` unless the folder is this user's own.

    That is strict for root too: files that it adds would lock the owner's Proxy out.
    """
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise StateError(
            f"the state folder {shown(folder)} belongs to user {user_name(owner)}, and this program runs as "
            f"{user_name(os.geteuid())}; run it as {user_name(owner)}"
        )


def check_mode(folder: Path) -> None:
    """Raise ``ExposedStateError`` unless the folder is closed to everybody but its owner."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise ExposedStateError(
            f"others can use the state folder {shown(folder)} (mode {mode:04o}); type: chmod 700 {shown(folder)}"
        )


def check_file(file: Path) -> None:
    """Raise ``StateError`` unless the file is there and private, without opening it."""
    try:
        check_private(file, file.lstat())
    except FileNotFoundError:
        raise StateError(f"{shown(file)} is missing; restore the state folder from a backup")
    except ExposedFileError as error:
        raise ExposedStateError(str(error))


def read_checked(file: Path) -> bytes:
    """The file's content, of at most ``limits.PRIVATE_FILE_BYTES``; ``StateError`` unless it is there and private."""
    try:
        return read_private(file)
    except ExposedFileError as error:
        raise ExposedStateError(str(error))
    except PrivateFileError as error:
        raise StateError(str(error))
