"""How long the Agent waits before it dials again."""

import random
from collections.abc import Callable

from socksfusion import limits


class Backoff:
    """Full jitter under a bound that doubles; exactly 5 s after a duplicate; long after an *unknown* refusal.

    ``uniform`` draws a number between two bounds (``random.uniform``).
    """

    def __init__(
        self,
        first_seconds: float = limits.RECONNECT_FIRST_SECONDS,
        largest_seconds: float = limits.RECONNECT_LARGEST_SECONDS,
        unregistered_seconds: float = limits.UNREGISTERED_RETRY_SECONDS,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first_seconds
        self._largest = largest_seconds
        self._unregistered = unregistered_seconds
        self._uniform = uniform
        self._bound = first_seconds

    def succeeded(self) -> None:
        """The Proxy took the Agent in: begin at the first bound again."""
        self._bound = self._first

    def after(self, refused: str | None) -> float:
        """Seconds to wait after a refusal or, with None, after any other end.

        ``refused`` is the Proxy's reason on the wire, or ``outbound login`` where the network's own proxy refused.
        """
        if refused == "duplicate":
            return limits.DUPLICATE_RETRY_SECONDS
        if refused == "unknown":
            return self._unregistered * self._uniform(0.9, 1.1)
        if refused == "outbound login":
            return limits.OUTBOUND_LOGIN_RETRY_SECONDS * self._uniform(0.9, 1.1)
        if refused is not None:
            return self._largest * self._uniform(0.5, 1.0)
        bound, self._bound = self._bound, min(self._bound * 2, self._largest)
        return self._uniform(0.0, bound)
