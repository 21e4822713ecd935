"""What the datagrams of all associations of one process may hold in memory: on streams, and wherever else they wait."""

from collections.abc import Callable
from typing import Protocol as Interface

from socksfusion import limits


class Queues(Interface):
    """A stream, as far as it is asked here."""

    @property
    def queued(self) -> int:
        """Bytes that were written to it and have not left."""


class DatagramRoom:
    """The sum over all associations: ``most`` bytes. What is above it is for its association to drop and count.

    A stream does not tell when its bytes leave, so each is looked at when it is written to; all are where the sum seems
    too large, at most once in ``limits.DATAGRAM_RECOUNT_SECONDS``. ``seconds`` tells the time.
    """

    def __init__(self, seconds: Callable[[], float], most: int = limits.DATAGRAM_ROOM_BYTES) -> None:
        self.bytes = 0
        self._seconds = seconds
        self._most = most
        self._shares: set[Share] = set()
        self._counted_at = seconds()

    def share(self, stream: Queues) -> "Share":
        """For the association of ``stream``; to be closed when the stream is gone, not when its end begins."""
        share = Share(self, stream)
        self._shares.add(share)
        return share

    def leave(self, share: "Share") -> None:
        """``share`` is closed."""
        self._shares.discard(share)

    def fits(self, size: int) -> bool:
        """Whether there is room for ``size`` bytes more."""
        if self.bytes + size <= self._most:
            return True
        now = self._seconds()
        if now - self._counted_at < limits.DATAGRAM_RECOUNT_SECONDS:
            return False
        self._counted_at = now
        for share in self._shares:
            share.look()
        return self.bytes + size <= self._most


class Share:
    """What one association has of it. Made by a room."""

    __slots__ = ("_queued", "_room", "_stream", "_taken")

    def __init__(self, room: DatagramRoom, stream: Queues) -> None:
        self._room = room
        self._stream = stream
        self._queued = 0
        self._taken = 0

    def refusal(self, size: int) -> str | None:
        """Why ``size`` bytes may not be written to the stream, or None: they count from now on."""
        self.look()
        if self._queued + size > limits.ASSOCIATION_QUEUE_BYTES:
            return f"{self._queued} bytes wait for the connection"
        if not self._room.fits(size):
            return f"datagrams of all associations take {self._room.bytes} bytes"
        self._queued += size
        self._room.bytes += size
        return None

    def take(self, size: int) -> bool:
        """Count ``size`` bytes that wait elsewhere; False: there is no room for them."""
        if not self._room.fits(size):
            return False
        self._taken += size
        self._room.bytes += size
        return True

    def give(self, size: int) -> None:
        """They wait there no more."""
        self._taken -= size
        self._room.bytes -= size

    def look(self) -> None:
        """Count what waits on the stream now."""
        queued = self._stream.queued
        self._room.bytes += queued - self._queued
        self._queued = queued

    def close(self) -> None:
        """Nothing of it waits any more. Harmless when repeated."""
        self._room.bytes -= self._queued + self._taken
        self._queued = self._taken = 0
        self._room.leave(self)
