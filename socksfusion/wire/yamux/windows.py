"""Receive windows that grow, and the budgets that keep their sum and what is unread within bounds.

A window limits its sender when about one window is consumed in each round trip. So the bytes consumed in the shortest
round trip are compared with the window: from three eighths of it on, the window doubles (in part of a window credit
waits to be given back, and a loaded round trip is longer than the shortest). What does not serve is to look whether
updates follow each other within some multiple of the round trip: a larger window has rarer updates, and such a rule
stops at twice the first window.
"""

from typing import Final, Protocol

from socksfusion import limits
from socksfusion.wire.yamux.errors import WindowExceeded

_UPDATE_BYTES: Final = limits.INITIAL_WINDOW_BYTES // 2
"""Updates are gathered up to this, half of the first window. Of a larger one it is a quarter: consumption comes in
lumps, and when one update carries a little more than half, the rest stays below it and waits for a round trip."""
_UNREAD_RELIEF: Final = 64
"""Over the bound, streams are reset until one part in this many below it is free: a look at all streams for each piece
would be an attack of its own."""


class GrowthBudget:
    """How far windows may grow above their start, in bytes, all together; nested budgets must all agree."""

    __slots__ = ("_outer", "limit", "taken")

    def __init__(self, limit: int, outer: "GrowthBudget | None" = None) -> None:
        self.limit = limit
        self.taken = 0
        self._outer = outer

    def take(self, size: int) -> bool:
        """Take ``size`` bytes for a window, or nothing and False."""
        if self.taken + size > self.limit or (self._outer is not None and not self._outer.take(size)):
            return False
        self.taken += size
        return True

    def give_back(self, size: int) -> None:
        """Return what a stream had taken."""
        self.taken -= size
        if self._outer is not None:
            self._outer.give_back(size)


class Holder(Protocol):
    """A stream, as the process's bound on unread data sees it."""

    id: int
    unread: int
    unread_since: float


class ProcessBudget:
    """What all sessions of a process share: growth of windows, and the bound on data received and not yet consumed."""

    __slots__ = ("growth", "holders", "unread", "unread_limit")

    def __init__(self, *, growth: int = limits.PROCESS_GROWTH_BYTES, unread: int = limits.PROCESS_UNREAD_BYTES) -> None:
        self.growth = GrowthBudget(growth)
        self.unread = 0
        self.unread_limit = unread
        self.holders: dict[Holder, None] = {}
        """Streams with unread data, in the order in which they began to have some."""

    def release(self, holder: Holder, size: int) -> None:
        """Note that ``size`` bytes of the holder's are unread no longer."""
        self.unread -= size
        holder.unread -= size
        if not holder.unread:
            del self.holders[holder]

    def victims(self) -> list[Holder]:
        """Choose streams to reset so that the bound holds again: the most unread first, among equals the longest."""
        target = self.unread_limit - self.unread_limit // _UNREAD_RELIEF
        excess = self.unread - target
        chosen: list[Holder] = []
        for holder in sorted(self.holders, key=_unread_order):
            if excess <= 0:
                break
            chosen.append(holder)
            excess -= holder.unread
        return chosen


def _unread_order(holder: Holder) -> tuple[int, float]:
    return -holder.unread, holder.unread_since


class ReceiveWindow:
    """One stream's window: what the peer may still send, what to give back, and when to double.

    ``credit`` (bytes) is what the peer was granted and has not used; ``pending`` is consumed and not given back yet.
    """

    __slots__ = ("_budget", "_consumed", "_due", "_grown", "_largest", "_since", "credit", "pending", "size")

    def __init__(self, budget: GrowthBudget, largest: int) -> None:
        self.size = limits.INITIAL_WINDOW_BYTES
        self.credit = self.size
        self.pending = 0
        self._budget = budget
        self._largest = largest
        self._grown = 0
        self._due = _UPDATE_BYTES
        # the running measurement: bytes consumed since then; it begins with the first update
        self._since: float | None = None
        self._consumed = 0

    def receive(self, length: int) -> None:
        """Take the credit for a frame of ``length`` bytes; raises WindowExceeded."""
        if length > self.credit:
            raise WindowExceeded(f"a frame of {length} bytes where {self.credit} were granted")
        self.credit -= length

    def consume(self, size: int) -> bool:
        """Note that the application took ``size`` bytes; True when enough waits to be given back."""
        self.pending += size
        self._consumed += size
        return self.pending >= self._due

    def judge(self, now: float, unread: int, round_trip: float | None) -> None:
        """Double when the window, not the reader, limits; ``round_trip`` is in seconds, None when it is unknown.

        Called when an update is due. A measurement lasts a round trip at least.
        """
        if round_trip is None:
            return
        shortest = max(round_trip, limits.SHORTEST_ROUND_TRIP_SECONDS)
        if self._since is not None:
            elapsed = now - self._since
            if elapsed < shortest:
                return
            in_round_trip = self._consumed * shortest / elapsed
        else:
            in_round_trip = 0.0
        self._since = now
        self._consumed = 0
        growth = min(self.size, self._largest - self.size)
        if growth <= 0 or in_round_trip < self.size * 3 / 8 or unread > self.size / 2:
            return
        if self._budget.take(growth):
            self._grown += growth
            self.size += growth
            self._due = max(self.size >> 2, _UPDATE_BYTES)
            self.pending += growth

    def take_update(self) -> int:
        """Return the credit of the update that leaves now, in bytes."""
        delta = self.pending
        self.pending = 0
        self.credit += delta
        return delta

    def close(self) -> None:
        """Give the growth back to the budget; harmless when repeated."""
        self._budget.give_back(self._grown)
        self._grown = 0
