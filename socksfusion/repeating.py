"""A service that does one thing again and again."""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from socksfusion.log import make_logger

_log = make_logger()


class Repeating(Service):
    """Calls ``turn`` every ``seconds`` while it runs, beginning after the first ``seconds``.

    What ``turn`` raises is logged, and it is called again: a ``LoopingCall`` alone would be silent from then on.
    """

    def __init__(self, clock: IReactorTime, seconds: float, turn: Callable[[], object]) -> None:
        self._seconds = seconds
        self._turn = turn
        self._loop = LoopingCall(self._take_turn)
        self._loop.clock = clock

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]
        self._loop.start(self._seconds, now=False)

    def stopService(self) -> Any:
        """No more turns; harmless where it was never started."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()

    def _take_turn(self) -> None:
        try:
            self._turn()
        except Exception:
            _log.failure("{who} failed and goes on", who=self.name or type(self).__name__)
