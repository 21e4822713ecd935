"""One shared timer that looks after relays for what no event tells.

- A connection with one direction ended and no byte in the other is reset after a while: close() and shutdown() look
  alike, and a Target that never answers a FIN would keep two descriptors for ever. One with bytes that wait for a slow
  reader is not silent.
- A socket that is paused is not watched for reading, so its reset goes unnoticed: it is asked. What it received before
  may still be on its way to a slow reader, so such a connection may be silent as long as a half-closed one.
"""

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits, posix
from socksfusion.repeating import Repeating
from socksfusion.tunnel import draining

if TYPE_CHECKING:
    from socksfusion.tunnel.stream import StreamTransport


class Watched(Protocol):
    """A socket and a stream that belong together: a relay, for one."""

    tcp: Any
    stream: "StreamTransport"
    watched: tuple[int, float] | None
    """The sweeper's own: bytes moved when they were last seen to move, and the time of that."""

    @property
    def half_closed(self) -> bool:
        """Whether just one direction has ended."""

    def abort(self) -> None:
        """Reset both ways, now."""


class Sweeper(Repeating):
    """Looks at every relay each ``limits.PAUSED_PROBE_SECONDS``.

    ``half_closed_seconds`` is how long silence may last.
    """

    name = "sweeper"

    def __init__(self, clock: IReactorTime, half_closed_seconds: float = limits.HALF_CLOSED_SECONDS) -> None:
        super().__init__(clock, min(limits.PAUSED_PROBE_SECONDS, half_closed_seconds / 2), self.sweep)
        self.relays: set[Watched] = set()
        self._half_closed_seconds = half_closed_seconds
        self._clock = clock

    def sweep(self) -> None:
        """One look at every relay."""
        now = self._clock.seconds()
        for relay in tuple(self.relays):
            if self._silent(relay, now):
                relay.abort()

    def _silent(self, relay: Watched, now: float) -> bool:
        stream = relay.stream
        # a reader may pause for hours: whoever has something to say to it is not silent
        half_closed = relay.half_closed and not (stream.paused or stream.write_paused or _is_unsent(relay))
        reset_waiting = stream.reset_waiting and not stream.end_waiting
        if not (half_closed or reset_waiting or (stream.write_paused and _was_reset(relay))):
            relay.watched = None
            return False
        moved = stream.bytes_received + stream.bytes_sent - stream.unread
        if relay.watched is None or relay.watched[0] != moved:
            relay.watched = (moved, now)
            return False
        return now - relay.watched[1] >= self._half_closed_seconds


def _is_unsent(relay: Watched) -> bool:
    """Whether the TCP side has yet to take something."""
    return relay.tcp.connected and draining.unsent_bytes(relay.tcp) > 0


def _was_reset(relay: Watched) -> bool:
    """Whether the kernel knows of an error on a socket that nobody reads."""
    return relay.tcp.connected and posix.has_error(relay.tcp.fileno())
