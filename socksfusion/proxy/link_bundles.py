"""Bundles for the link site: each is made in a thread, one at a time, and lies in a file without a name."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThread

from socksfusion.identity.agent_bundle import bundle_files, has_release, read_release
from socksfusion.identity.bundle import pack_into
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]
"""Runs a function in a thread."""


class LinkBundles:
    """Makes bundles of the release in the state folder.

    Memory holds the files of one release at most (``limits.BUNDLE_BYTES``), however many are asked for. What is
    finished waits in the state folder's file system, since a private key lies in it.
    """

    def __init__(self, state: StateFolder, in_thread: InThread = deferToThread) -> None:
        self._state = state
        self._in_thread = in_thread
        self.turns = DeferredLock()
        """Who makes one holds it, from its look at the link until the link is used up."""

    @property
    def offered(self) -> bool:
        """Whether there is a release."""
        return has_release(self._state)

    def make(self, mint: Callable[[], tuple[AgentCopy, bytes]]) -> "Deferred[tuple[IO[bytes], bytes]]":
        """The bundle of a copy that ``mint`` makes with its key's digest; gives the file, at its beginning, and that.

        ``mint`` is called in the thread. Fails with ``OperatorError`` or ``OSError``.
        """

        def made() -> tuple[IO[bytes], bytes]:
            release, _ = read_release(self._state)
            copy, key = mint()
            with ExitStack() as failing:
                file = failing.enter_context(tempfile.TemporaryFile(dir=self._state.path))
                pack_into(file, bundle_files(copy, release))
                file.seek(0)
                failing.pop_all()
            return file, key

        return self._in_thread(made)
