"""Pings both ways: ours with their round trips, and the peer's with bounds on what it may ask."""

from collections import deque
from typing import Final

from socksfusion import limits
from socksfusion.wire.yamux.errors import PingFlood
from socksfusion.wire.yamux.rates import Rate

_ROUND_TRIPS_KEPT: Final = 8


class Pings:
    """Counts, measures and limits pings. Times are seconds of the caller's clock."""

    __slots__ = ("_asked", "_next", "_rate", "_round_trips", "dropped", "replies", "requests", "round_trip")

    def __init__(self) -> None:
        self.requests: list[int] = []
        """Opaque values of our pings that wait to be sent."""
        self.replies: list[int] = []
        """Opaque values of the peer's pings that wait for our answer."""
        self.dropped = 0
        """Pings of the peer's that were not answered because too many answers waited already."""
        self.round_trip: float | None = None
        """The shortest of the last few round trips."""
        self._next = 0
        self._asked: dict[int, float] = {}
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS_KEPT)
        self._rate = Rate(limits.PINGS_PER_SPAN, limits.RATE_SPAN_SECONDS)

    @property
    def started(self) -> bool:
        """Whether a ping was ever asked."""
        return self._next != 0

    @property
    def oldest_unanswered(self) -> float | None:
        """When the oldest ping without an answer was asked, of the last ``limits.UNANSWERED_PINGS``."""
        return next(iter(self._asked.values()), None)

    def ask(self, now: float) -> int:
        """Queue a ping and return its opaque value."""
        opaque = self._next
        self._next = (opaque + 1) & 0xFFFFFFFF
        self._asked[opaque] = now
        self.requests.append(opaque)
        # a peer that answers none must not make us remember more and more
        if len(self._asked) > limits.UNANSWERED_PINGS:
            del self._asked[next(iter(self._asked))]
            del self.requests[: -limits.UNANSWERED_PINGS]
        return opaque

    def asked_by_peer(self, opaque: int, now: float) -> None:
        """Queue the answer to a ping of the peer's; raises PingFlood."""
        self._count(now)
        if len(self.replies) >= limits.PENDING_PING_REPLIES:
            self.dropped += 1
            return
        self.replies.append(opaque)

    def answered(self, opaque: int, now: float) -> float | None:
        """Return the round trip that ended, None for an answer to nothing that we asked; raises PingFlood."""
        self._count(now)
        asked = self._asked.pop(opaque, None)
        if asked is None:
            return None
        self._round_trips.append(now - asked)
        self.round_trip = min(self._round_trips)
        return now - asked

    def _count(self, now: float) -> None:
        if self._rate.exceeded(now):
            raise PingFlood(f"more than {limits.PINGS_PER_SPAN} pings in {limits.RATE_SPAN_SECONDS:g} s")
