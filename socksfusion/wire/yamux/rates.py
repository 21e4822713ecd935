"""How often something may happen in a span of time."""


class Rate:
    """Allows ``limit`` happenings in ``span`` seconds, counted from the first of them."""

    __slots__ = ("_count", "_limit", "_span", "_start")

    def __init__(self, limit: int, span: float) -> None:
        self._limit = limit
        self._span = span
        self._start = float("-inf")
        self._count = 0

    def exceeded(self, now: float) -> bool:
        """Count one more at ``now`` (seconds) and tell whether that was too many."""
        if now - self._start >= self._span:
            self._start = now
            self._count = 0
        self._count += 1
        return self._count > self._limit
