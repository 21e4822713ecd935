"""Whether a Proxy works with a registry, and what it has heard of.

A lock tells the first, which the kernel drops when the process ends, however it ends.
"""

import fcntl
import os
import time
from pathlib import Path

from socksfusion.log import printable
from socksfusion.registry.database import RegistryError

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.02


class ServedLock:
    """The lock on the file ``path``, which is made where it is missing.

    It is not the database's own file: closing a descriptor on that would drop the locks that SQLite holds on it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | None = None

    def take(self) -> bool:
        """Hold the lock until ``release``; ``False`` where another process has it."""
        descriptor = self._open()
        for _ in range(_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)  # `is_taken` in another process holds it for a moment
            else:
                self._held = descriptor
                return True
        os.close(descriptor)
        return False

    def release(self) -> None:
        """Let go of it, if it is held."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def is_taken(self) -> bool:
        """Whether any process holds the lock."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def note(self, change: int) -> None:
        """While it is held: write down that the Proxy goes by the registry up to this change."""
        if self._held is not None:
            os.pwrite(self._held, b"%-20d" % change, 0)

    def noted(self) -> int:
        """What was noted last, by whoever holds it; 0 for nothing."""
        descriptor = self._open()
        try:
            return int(os.pread(descriptor, 20, 0) or 0)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RegistryError(f"can't open {printable(str(self._path))}: {error.strerror}")
