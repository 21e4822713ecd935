"""What POSIX systems alone have, and what takes its place elsewhere, so that the Agent runs there too.

On a system without these, such as Windows: who owns a file and who may read it is not checked (the folder's permissions
have to see to it), and how much the kernel still holds of a connection is not known.
"""

import os
import select
import socket
import struct
from typing import Any, Final

try:
    import pwd
except ImportError:
    pwd = None  # type: ignore[assignment]
try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]
try:
    import fcntl
    import termios
except ImportError:
    fcntl = termios = None  # type: ignore[assignment]

CLOSE_ON_EXEC: Final[int] = getattr(os, "O_CLOEXEC", getattr(os, "O_NOINHERIT", 0))
NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
NON_BLOCKING: Final[int] = getattr(os, "O_NONBLOCK", 0)
NO_TERMINAL: Final[int] = getattr(os, "O_NOCTTY", 0)
BINARY: Final[int] = getattr(os, "O_BINARY", 0)
"""Flags of ``os.open``; 0 where the system has no such flag."""

_DIRECTORY: Final[int | None] = getattr(os, "O_DIRECTORY", None)
_HAS_POLL: Final = hasattr(select, "poll")
# Winsock's own limit is memory; Twisted's select reactor there watches 512 sockets
_UNKNOWN_LIMIT: Final = 512
_PEEKED_BYTES: Final = 65_536


def effective_user() -> int | None:
    """The user that this process acts as; None where files have no such owners."""
    return os.geteuid() if hasattr(os, "geteuid") else None


def user_name(uid: int) -> str:
    """The login name of ``uid``, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name if pwd is not None else str(uid)
    except KeyError:
        return str(uid)


def sync_folder(folder: "os.PathLike[str]") -> None:
    """Make the names in ``folder`` durable; elsewhere no folder can be opened, and it is left to the file system."""
    if _DIRECTORY is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | _DIRECTORY | CLOSE_ON_EXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_files_limit() -> tuple[int, int]:
    """The soft and the hard limit of open files of this process; a very high number where there is none."""
    if resource is None:
        return _UNKNOWN_LIMIT, _UNKNOWN_LIMIT
    endless = resource.RLIM_INFINITY
    # Linux has no endless number of them, whatever the limit says (fs.nr_open)
    soft, hard = (1 << 30 if limit == endless else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    return soft, hard


def raise_open_files_limit(at_most: int | None = None) -> None:
    """Raise the soft limit of open files to the hard one, or to ``at_most`` where that is less.

    :raises OSError: the system refuses; so does ``ValueError``.
    """
    if resource is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    bounded = at_most is not None and not 0 <= hard <= at_most
    resource.setrlimit(resource.RLIMIT_NOFILE, (at_most if bounded and at_most is not None else hard, hard))


def unsent_bytes(handle: Any) -> int:
    """Bytes that the kernel has yet to send or to have acknowledged (SIOCOUTQ); 0 where it can't tell.

    ``handle`` has a ``fileno``.
    """
    if fcntl is None:
        return 0
    try:
        (size,) = struct.unpack("i", fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    except (OSError, ValueError):
        return 0  # no socket that the kernel could tell of
    return int(size)


def unread_bytes(handle: Any, peek: socket.socket) -> int:
    """Bytes in the kernel's receive queue (FIONREAD), or how many of them a look at ``peek``, the socket, shows."""
    if fcntl is not None:
        (size,) = struct.unpack("i", fcntl.ioctl(handle.fileno(), termios.FIONREAD, b"\0\0\0\0"))
        return int(size)
    try:
        return len(peek.recv(_PEEKED_BYTES, socket.MSG_PEEK))
    except OSError:
        return 0


def has_error(descriptor: int) -> bool:
    """Whether the kernel knows of an error of the socket; False where it can't be asked without taking the error.

    POLLHUP tells nothing: it comes with FIN both ways too, when there may be much to read.
    """
    if not _HAS_POLL:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def takes_more(descriptor: int) -> bool:
    """Whether a write to ``descriptor`` would not wait; True where that can't be asked."""
    if not _HAS_POLL:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
