"""A token bucket: how much of something may be used now, at a rate that holds over any longer time."""

from collections.abc import Callable


class Bucket:
    """Holds at most ``burst`` tokens and gets ``rate`` a second; ``seconds`` is a monotonic clock. It starts full.

    It may be spent into debt: what could not be foreseen is waited for afterwards.
    """

    __slots__ = ("_burst", "_filled", "_seconds", "_tokens", "rate")

    def __init__(self, seconds: Callable[[], float], rate: float, burst: float) -> None:
        self.rate = rate
        self._seconds = seconds
        self._burst = burst
        self._tokens = burst
        self._filled = seconds()

    def tokens(self) -> float:
        """How many there are now; below 0 is debt."""
        now = self._seconds()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        return self._tokens

    def spend(self, tokens: float) -> float:
        """Take ``tokens``; what is left, perhaps below 0."""
        self._tokens = self.tokens() - tokens
        return self._tokens

    def seconds_until(self, tokens: float) -> float:
        """How long it takes until there are ``tokens``, of which ``burst`` is the most."""
        return max(0.0, (tokens - self.tokens()) / self.rate)
