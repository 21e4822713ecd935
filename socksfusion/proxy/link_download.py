"""A file on its way to a browser: read piece by piece, as fast as it is taken."""

from collections.abc import Callable
from typing import IO

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from socksfusion import limits


@implementer(IPullProducer)
class Download:
    """Gives ``send`` a piece of ``file`` whenever the one before is gone, and calls ``done`` after the last."""

    def __init__(self, file: IO[bytes], send: Callable[[bytes], None], done: Callable[[], None]) -> None:
        self._file = file
        self._send = send
        self._done = done

    def resumeProducing(self) -> None:
        """The transport has room."""
        piece = self._file.read(limits.LINK_PIECE_BYTES)
        if piece:
            self._send(piece)
        else:
            self._done()

    def stopProducing(self) -> None:
        """Nobody takes it any more."""
        self._file.close()
