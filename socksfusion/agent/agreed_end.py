"""The end of the agreed time, for what stands then: new requests are denied by the policy."""

import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.repeating import Repeating

_log = make_logger()


class AgreedEnd(Repeating):
    """Has all that stands ``reset`` within a second of ``expires``, whatever the Proxy does then; it tells how many.

    It goes on looking, for a dial that was allowed before may end after. ``expires`` and ``wall_clock`` are Unix
    seconds: the clock may be set, and the machine sleep.
    """

    name = "agreed-end"

    def __init__(
        self,
        clock: IReactorTime,
        expires: float,
        reset: Callable[[], int],
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock, limits.RIGHTS_SECONDS, self._look)
        self._expires = expires
        self._reset = reset
        self._wall_clock = wall_clock

    def _look(self) -> None:
        if self._wall_clock() >= self._expires:
            count = self._reset()
            if count:
                _log.warn("the agreed time is over: {count} connections were reset", count=count)
