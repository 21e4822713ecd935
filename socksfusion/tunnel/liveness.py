"""Liveness: every carrier is pinged, a silent one is ended, and a machine that slept asks at once.

txaio's batched timers may fire up to a bucket early (never less than a second, whatever the bucket), and a cancelled
call may still run; so they only send pings and heartbeats here, each callback checks that its carrier is still looked
after, and none raises. Intervals that can't bear such a difference have timers of their own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.repeating import Repeating
from socksfusion.tunnel.carrier import Carrier

_log = make_logger()

_BATCHED_FROM_BUCKETS = 10
"""Intervals of fewer buckets are not batched."""


def suspended_seconds() -> float:
    """How long this machine has slept since it started: what CLOCK_BOOTTIME counts and CLOCK_MONOTONIC does not.

    0 on systems without the two: there a carrier that died in the sleep is noticed by its pings.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


@dataclass(eq=False)
class _Watch:
    carrier: Carrier
    beat: Callable[[], None] | None
    pinged_at: float
    missed: int = 0
    standing: bool = field(default=True)


class Liveness(Repeating):
    """Pings each watched carrier every ``ping_seconds``; after ``pings_missed`` without one byte back it is aborted.

    Any byte counts as life: on a slow line a reply may wait behind data that is under way already. ``suspended`` gives
    the seconds that the machine has slept.
    """

    name = "liveness"

    def __init__(
        self,
        clock: IReactorTime,
        *,
        ping_seconds: float = limits.PING_SECONDS,
        pings_missed: int = limits.PINGS_MISSED,
        heartbeat_seconds: float = limits.HEARTBEAT_SECONDS,
        suspended: Callable[[], float] = suspended_seconds,
    ) -> None:
        super().__init__(clock, 1.0, self._look_for_sleep)
        txaio.config.loop = clock
        self._timer: Any = txaio.make_batched_timer(limits.TIMER_BUCKET_SECONDS)
        self._clock = clock
        self._ping_seconds = ping_seconds
        self._pings_missed = pings_missed
        self._heartbeat_seconds = heartbeat_seconds
        self._suspended = suspended
        self._slept = suspended()
        self._watches: dict[Carrier, _Watch] = {}

    def stopService(self) -> None:
        """Look no more; pings that are due find nobody."""
        super().stopService()
        for watch in self._watches.values():
            watch.standing = False
        self._watches.clear()

    def watch(self, carrier: Carrier, beat: Callable[[], None] | None = None) -> None:
        """Look after ``carrier`` until :meth:`forget`; ``beat`` is called every ``heartbeat_seconds``."""
        self.forget(carrier)
        watch = self._watches[carrier] = _Watch(carrier, beat, self._clock.seconds())
        carrier.ping()
        self._later(self._ping_seconds, self._ping, watch)
        if beat is not None:
            self._later(self._heartbeat_seconds, self._beat, watch)

    def forget(self, carrier: Carrier) -> None:
        """The carrier is gone."""
        watch = self._watches.pop(carrier, None)
        if watch is not None:
            watch.standing = False

    def _later(self, seconds: float, function: Callable[[_Watch], None], watch: _Watch) -> None:
        if seconds < _BATCHED_FROM_BUCKETS * limits.TIMER_BUCKET_SECONDS:
            self._clock.callLater(seconds, function, watch)
        else:
            self._timer.call_later(seconds, function, watch)

    def _ping(self, watch: _Watch) -> None:
        if not watch.standing:
            return
        carrier = watch.carrier
        if carrier.last_received >= watch.pinged_at:
            watch.missed = 0
        else:
            watch.missed += 1
        if watch.missed >= self._pings_missed:
            carrier.abort(f"no answer to {watch.missed} pings")
            return
        watch.pinged_at = self._clock.seconds()
        carrier.ping()
        self._later(self._ping_seconds, self._ping, watch)

    def _beat(self, watch: _Watch) -> None:
        if watch.standing and watch.beat is not None:
            watch.beat()
            self._later(self._heartbeat_seconds, self._beat, watch)

    def _look_for_sleep(self) -> None:
        slept = self._suspended()
        jump, self._slept = slept - self._slept, slept
        if jump <= limits.SUSPEND_JUMP_SECONDS:
            return
        _log.info("this machine slept for {seconds} s, asking every carrier", seconds=round(jump))
        for carrier in list(self._watches):
            answered: Deferred[bool] = carrier.check(limits.URGENT_PING_SECONDS)
            answered.addCallback(_abort_unless_answered, carrier)


def _abort_unless_answered(answered: bool, carrier: Carrier) -> None:
    if not answered:
        carrier.abort("no answer after this machine slept")
