"""Streams that we closed before the peer knew: what was in flight is skipped, not taken for an attack (row B10)."""

from collections import OrderedDict

from socksfusion import limits
from socksfusion.wire.yamux.errors import WindowExceeded


class Tombstones:
    """The id and the credit left of each stream that we reset, until the peer's FIN or RST or for a minute.

    At most ``capacity`` are kept: the oldest goes first.
    """

    __slots__ = ("_capacity", "_expiry", "_unstamped", "credit")

    def __init__(self, capacity: int = limits.TOMBSTONES) -> None:
        self._capacity = capacity
        self.credit: OrderedDict[int, int] = OrderedDict()
        """What the peer may still send on each of them, in bytes."""
        self._expiry: OrderedDict[int, float] = OrderedDict()
        # a reset is not told the time: the next call that is stamps it
        self._unstamped: dict[int, None] = {}

    def add(self, stream_id: int, credit: int) -> None:
        """Remember a stream on which the peer may have ``credit`` bytes in flight."""
        self.credit[stream_id] = credit
        self._unstamped[stream_id] = None
        if len(self.credit) > self._capacity:
            self.discard(next(iter(self.credit)))

    def discard(self, stream_id: int) -> None:
        """Forget a stream: the peer has finished with it."""
        if self.credit.pop(stream_id, None) is not None:
            self._expiry.pop(stream_id, None)
            self._unstamped.pop(stream_id, None)

    def spend(self, stream_id: int, length: int) -> bool:
        """Take ``length`` bytes of late data; False when there is no tombstone. Raises WindowExceeded."""
        credit = self.credit.get(stream_id)
        if credit is None:
            return False
        if length > credit:
            raise WindowExceeded(f"stream {stream_id}: {length} bytes of late data, {credit} were granted")
        self.credit[stream_id] = credit - length
        return True

    def settle(self, now: float) -> None:
        """Stamp what came since the last call and forget what is too old at ``now``."""
        if self._unstamped:
            for stream_id in self._unstamped:
                self._expiry[stream_id] = now + limits.TOMBSTONE_SECONDS
            self._unstamped.clear()
        while self._expiry:
            stream_id, expiry = next(iter(self._expiry.items()))
            if expiry > now:
                return
            del self._expiry[stream_id]
            self.credit.pop(stream_id, None)

    def next_expiry(self, now: float) -> float | None:
        """Tell when ``settle`` has something to do; ``now`` is the latest time that the caller knows."""
        if self._expiry:
            return next(iter(self._expiry.values()))
        return now + limits.TOMBSTONE_SECONDS if self._unstamped else None
