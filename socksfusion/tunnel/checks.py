"""Checks whether the other end is alive: pings whose answers somebody waits for."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Checks:
    """Pings under way by their opaque values, each with its limit; every one is answered once, by True or False."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[int, tuple[Callable[[bool], None], IDelayedCall]] = {}

    def expect(self, opaque: int, limit_seconds: float) -> Deferred[bool]:
        """Whether the ping ``opaque`` is answered within ``limit_seconds``. Never fails."""
        answer: Deferred[bool] = Deferred()
        limit = self._clock.callLater(limit_seconds, self._settle, opaque, False)
        self._waiting[opaque] = answer.callback, limit
        return answer

    def answered(self, opaque: int) -> None:
        """The other end has answered a ping, maybe one that nobody waits for."""
        self._settle(opaque, True)

    def lost(self) -> None:
        """There will be no more answers."""
        for opaque in list(self._waiting):
            self._settle(opaque, False)

    def _settle(self, opaque: int, alive: bool) -> None:
        waiting = self._waiting.pop(opaque, None)
        if waiting is None:
            return
        tell, limit = waiting
        if limit.active():
            limit.cancel()
        tell(alive)
