"""The admin's own switch: a pause that cuts what is open, lets nothing be opened, and outlasts a restart."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from socksfusion import limits
from socksfusion.durations import format_duration
from socksfusion.identity.private_files import PrivateFileError, read_private, write_private
from socksfusion.log import make_logger
from socksfusion.wire.control_messages import Paused, Resumed, StopScan
from socksfusion.wire.message_fields import LAST_MOMENT
from socksfusion.wire.messages import Message

_log = make_logger()

DENIED: Final = "the Agent is paused by its admin"
"""What a Client's request is told."""


class Switch(Service):
    """Paused or not. The Proxy is told, and does not have to be there.

    ``tell(message)`` tells it, if it is; ``cut()`` ends every stream and gives their number. ``file`` keeps the pause
    over a restart. ``wall_clock`` gives Unix seconds: a pause's end is a time of day.
    """

    name = "switch"

    def __init__(
        self,
        clock: IReactorTime,
        file: Path,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.tell: Callable[[Message], object] = lambda message: None
        self.cut: Callable[[], int] = lambda: 0
        self.until: float | None = None
        self._paused = False
        self._clock = clock
        self._file = file
        self._wall_clock = wall_clock
        self._look: IDelayedCall | None = None
        self._load()

    @property
    def paused(self) -> bool:
        """Whether nothing may be opened now."""
        return self._paused and (self.until is None or self._wall_clock() < self.until)

    def startService(self) -> None:
        """Wait for a pause's end."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._paused:
            _log.warn("{why}: nothing is opened until 'socksfusion-agent resume'", why=DENIED)
            self._expect_end()

    def stopService(self) -> None:
        """A pause goes on in its file."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._forget_end()

    def pause(self, seconds: float | None) -> str:
        """Pause for ``seconds``, or until it is resumed. What went wrong beside it, for the admin; else empty."""
        self._paused = True
        self.until = None if seconds is None else self._wall_clock() + seconds
        cut = self.cut()
        self.tell(Paused(until=self.until or 0.0))
        span = "until resumed" if seconds is None else f"for {format_duration(seconds)}"
        _log.warn("paused by the admin {span}; {cut} streams were cut", span=span, cut=cut)
        self._forget_end()
        self._expect_end()
        return self._save()

    def resume(self) -> str:
        """End a pause. What went wrong beside it, as in ``pause``."""
        return self._resume("by the admin")

    def stop_scan(self) -> int:
        """End every scan that uses this Agent, and its streams; how many streams were cut."""
        self.tell(StopScan())
        cut = self.cut()
        _log.warn("the admin stops the scans; {cut} streams were cut", cut=cut)
        return cut

    def welcomed(self) -> None:
        """The Proxy has taken the Agent in, and knows of no pause."""
        if self.paused:
            self.tell(Paused(until=self.until or 0.0))

    def _resume(self, how: str) -> str:
        if not self._paused:
            return ""
        self._paused = False
        self.until = None
        self._forget_end()
        self.tell(Resumed())
        _log.warn("resumed {how}", how=how)
        return self._save()

    # -- the end that comes by itself --------------------------------------------------------------------------------

    def _expect_end(self) -> None:
        if self.until is not None:
            # the machine may sleep, and its clock be set: a look now and then instead of one long wait
            left = max(0.0, self.until - self._wall_clock())
            self._look = self._clock.callLater(min(left, limits.PAUSE_LOOK_SECONDS), self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._look = None
        if self.paused:
            self._expect_end()
        else:
            trouble = self._resume("by itself: the time is over")
            if trouble:
                _log.warn("{trouble}", trouble=trouble)

    def _forget_end(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    # -- the file ----------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        if not self._file.exists():
            return
        try:
            paused, until = _parse(read_private(self._file))
        except (PrivateFileError, ValueError, RecursionError) as error:
            # what can't be read was written for a pause: the careful reading
            _log.error("the file that keeps a pause can't be used: {error}; so the Agent is paused", error=error)
            paused, until = True, None
        self._paused, self.until = paused, until
        if self._paused and not self.paused:
            self._paused, self.until = False, None

    def _save(self) -> str:
        try:
            if self._paused:
                write_private(self._file, json.dumps({"paused": True, "until": self.until}).encode() + b"\n")
            else:
                self._file.unlink(missing_ok=True)
        except (PrivateFileError, OSError) as error:
            trouble = f"this does not outlast a restart of the Agent: {error}"
            _log.error("{trouble}", trouble=trouble)
            return trouble
        return ""


def _parse(data: bytes) -> tuple[bool, float | None]:
    fields: Any = json.loads(data)
    if not isinstance(fields, dict):
        raise ValueError("it does not hold what it should")
    paused, until = fields.get("paused"), fields.get("until")
    if not isinstance(paused, bool) or isinstance(until, bool) or not isinstance(until, int | float | None):
        raise ValueError("it does not hold what it should")
    # NaN is in no range, and an integer may be larger than any float
    if until is not None and not 0 <= until <= LAST_MOMENT:
        raise ValueError("it does not hold what it should")
    return paused, until
