"""How far the limit of open files is used up: what each kind of connection may take, so that none starves the others.

Without it a listener would accept until the system refuses; Twisted then writes three lines for each connection that it
closes, and no administrator gets in any more (attacks.md, row J1).
"""

import errno
import os

from socksfusion import limits, posix

_FULL = (errno.EMFILE, errno.ENFILE)


def lowest_free() -> int | None:
    """The descriptor that the next file would get, ``None`` where the limit is reached.

    POSIX gives the lowest number that is free, so at least so many files are open; nobody has to count them.
    """
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY | posix.CLOSE_ON_EXEC)
    except OSError as error:
        if error.errno in _FULL:
            return None
        raise
    os.close(descriptor)
    return descriptor


class Headroom:
    """A bound on the files that may be open before something is refused."""

    def __init__(self, bound: int) -> None:
        self.bound = bound

    def refusal(self) -> str | None:
        """Why one more connection is too many now, or None."""
        free = lowest_free()
        if free is not None and free < self.bound:
            return None
        return f"{self.bound} files are open; raise the limit of open files (ulimit -n)"


def for_clients() -> Headroom:
    """Of the Proxy's Clients: most of the limit that this process has now."""
    return Headroom(_limit() * limits.CLIENTS_DESCRIPTORS_PERCENT // 100)


def for_work() -> Headroom:
    """Of agents and of dials to Targets: all but what administrators need."""
    return Headroom(_limit() - limits.ADMIN_DESCRIPTORS)


def for_admins() -> Headroom:
    """Of the manhole: all but a few, for the registry and the program's own files."""
    return Headroom(_limit() - limits.OWN_DESCRIPTORS)


def _limit() -> int:
    soft, _ = posix.open_files_limit()
    return soft
