"""What a peer may do a few times and not in a flood: each count past its limit ends the session."""

from socksfusion import limits
from socksfusion.wire.yamux.errors import EmptyFrameFlood, FaultFlood, ForeignOpens
from socksfusion.wire.yamux.rates import Rate


class Misbehaviour:
    """Counts of one peer's faults."""

    __slots__ = ("_empty_frames", "_faults", "_foreign_opens")

    def __init__(self) -> None:
        self._empty_frames = Rate(limits.EMPTY_FRAMES_PER_SPAN, limits.RATE_SPAN_SECONDS)
        self._faults = Rate(limits.FAULTS_PER_SPAN, limits.RATE_SPAN_SECONDS)
        self._foreign_opens = 0

    def fault(self, now: float) -> None:
        """Count a fault on a single stream (row B5); raises FaultFlood."""
        if self._faults.exceeded(now):
            raise FaultFlood(f"more than {limits.FAULTS_PER_SPAN} faults in {limits.RATE_SPAN_SECONDS:g} s")

    def empty_frame(self, now: float) -> None:
        """Count a frame with neither data, credit nor a flag (row B8); raises EmptyFrameFlood."""
        if self._empty_frames.exceeded(now):
            raise EmptyFrameFlood(
                f"more than {limits.EMPTY_FRAMES_PER_SPAN} empty frames in {limits.RATE_SPAN_SECONDS:g} s"
            )

    def foreign_open(self) -> None:
        """Count an open of a peer that may open nothing (row E2); raises ForeignOpens."""
        self._foreign_opens += 1
        if self._foreign_opens >= limits.FOREIGN_OPENS:
            raise ForeignOpens(f"{self._foreign_opens} streams where none may be opened")
