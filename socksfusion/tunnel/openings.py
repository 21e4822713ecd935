"""Openings of streams that wait for their turn: an Agent acknowledges only so many at once."""

from collections.abc import Callable
from typing import TypeAlias

from socksfusion.log import make_logger
from socksfusion.tunnel.stream import StreamTransport

_log = make_logger()

Opened: TypeAlias = Callable[[StreamTransport | None], None]
"""Takes a stream's transport, without a protocol yet, or None where its carrier can open no more streams."""


class Openings:
    """Who waits for a stream, first come, first served. What one of them raises is logged and hinders no other."""

    def __init__(self) -> None:
        self._waiting: dict[Opened, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, opened: Opened) -> None:
        """The last in the queue."""
        self._waiting[opened] = None

    def withdraw(self, opened: Opened) -> None:
        """Wait no more; harmless for one that doesn't wait."""
        self._waiting.pop(opened, None)

    def give(self, new_stream: Callable[[], StreamTransport]) -> None:
        """The first in the queue has its turn."""
        opened = next(iter(self._waiting))
        del self._waiting[opened]
        tell(opened, new_stream())

    def give_up(self) -> None:
        """There will be no more streams for those who wait now."""
        waiting, self._waiting = self._waiting, {}
        for opened in waiting:
            tell(opened, None)


def tell(opened: Opened, transport: StreamTransport | None) -> None:
    """Give ``opened`` its answer; where it raises, that is logged and its stream reset."""
    try:
        opened(transport)
    except Exception:
        _log.failure("an opening broke")
        if transport is not None:
            transport.abortConnection()
