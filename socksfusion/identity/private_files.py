"""Files that hold secrets: written whole or not at all, and read only while nobody else can read them."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from socksfusion import limits, posix
from socksfusion.log import printable
from socksfusion.posix import sync_folder, user_name

PRIVATE_MODE = 0o600
_FLAGS = posix.NO_FOLLOW | posix.NON_BLOCKING | posix.CLOSE_ON_EXEC | posix.BINARY


class PrivateFileError(Exception):
    """A file can't be trusted, read or written; the text is for the user."""


class ExposedFileError(PrivateFileError):
    """Others than its owner can read or change a file that holds a secret, or it is somebody else's."""


def shown(path: Path) -> str:
    """``path`` for a message: a name that somebody else chose must not control the terminal."""
    return printable(str(path))


def read_private(path: Path) -> bytes:
    """The content of ``path``, of at most ``limits.PRIVATE_FILE_BYTES``.

    Raises ``ExposedFileError`` unless it is a regular file of ours or of root's, closed to everybody else, and
    ``PrivateFileError`` where it can't be read. A symbolic link is refused: it may be planted.
    """
    try:
        # O_NONBLOCK: a planted FIFO must not hang us before we see that it is one
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError as error:
        if path.is_symlink():
            raise ExposedFileError(f"{shown(path)} is a symbolic link; put the file itself there")
        raise PrivateFileError(f"can't read {shown(path)}: {error.strerror}")
    try:
        check_private(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limits.PRIVATE_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > limits.PRIVATE_FILE_BYTES:
        raise PrivateFileError(f"{shown(path)} is too long to be one of our files")
    return data


def check_private(path: Path, status: os.stat_result) -> None:
    """Raise ``ExposedFileError`` unless ``status``, that of ``path``, is that of a private regular file."""
    if not stat.S_ISREG(status.st_mode):
        raise ExposedFileError(f"{shown(path)} is not a regular file; put the file itself there")
    own = posix.effective_user()
    if own is None:
        return
    if status.st_uid not in (own, 0):
        raise ExposedFileError(
            f"{shown(path)} belongs to user {user_name(status.st_uid)}, and this program runs as "
            f"{user_name(own)}; run it as the file's owner, or change the owner"
        )
    if status.st_mode & _open_to_others(path):
        raise ExposedFileError(
            f"others can use {shown(path)} (mode {stat.S_IMODE(status.st_mode):04o}); type: chmod 600 {shown(path)}, "
            "and have it made anew if somebody may have read it"
        )


def _open_to_others(path: Path) -> int:
    """The bits of a mode that let others than the owner do something with the file at ``path``."""
    if os.environ.get("CREDENTIALS_DIRECTORY") == str(path.parent):
        # what systemd hands over may be root's, and open to the service's user alone by an access list, whose mask
        # stands in the place of the group's bits; nobody else gets into that folder (systemd.exec(5), CREDENTIALS)
        return 0o037
    return 0o077


def write_private(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` with mode 0600, replacing what is there: after a crash it is the old or the new file.

    Raises ``PrivateFileError``.
    """
    _place(path, data, os.replace)


def create_private(path: Path, data: bytes) -> None:
    """The same, but ``FileExistsError`` where anything has that name already, a dangling link too."""
    _place(path, data, _link_new)


def _link_new(temporary: str, path: Path) -> None:
    os.link(temporary, path)  # never replaces; rename would
    os.unlink(temporary)


def _place(path: Path, data: bytes, put: Callable[[str, Path], None]) -> None:
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(descriptor, "wb") as file:
            # mkstemp made it with mode 0600, less what the umask takes away
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        put(temporary, path)
        temporary = ""
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise PrivateFileError(f"can't write {shown(path)}: {error.strerror}")
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
