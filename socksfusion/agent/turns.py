"""Turns: how many dials are under way at once, and who comes next.

A port scan through the Agent must not use up its descriptors, and what has to wait is told from what was tried: a dial
that never got its turn is *not tested* (attacks.md, row B4).
"""

from collections import OrderedDict

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from socksfusion import limits
from socksfusion.agent.errors import ConnectFailed


class NoTurn(ConnectFailed):
    """Too many dials before this one."""

    rule = "dials at once"


class Turns:
    """At most ``at_once`` turns are taken; the rest wait in order, ``waiting`` of them, each ``wait_seconds`` at most.

    Attributes to read: ``taken``, ``peak`` (the most that were taken), ``queued``.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        at_once: int = limits.DIALS_AT_ONCE,
        waiting: int = limits.DIALS_WAITING,
        wait_seconds: float = limits.DIAL_WAIT_SECONDS,
    ) -> None:
        self._clock = clock
        self._at_once = at_once
        self._most_waiting = waiting
        self._wait_seconds = wait_seconds
        self._queue: OrderedDict[Deferred[None], float] = OrderedDict()
        self._timer: IDelayedCall | None = None
        self._granting = False
        self.taken = 0
        self.peak = 0

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._queue)

    def take(self) -> Deferred[None]:
        """Fires when the turn is the caller's, who then owes :meth:`give_back`; fails with :class:`NoTurn`.

        Cancelling it leaves the queue.
        """
        if self.taken < self._at_once:
            self._count()
            return succeed(None)
        turn: Deferred[None] = Deferred(self._leave)
        if len(self._queue) >= self._most_waiting:
            turn.errback(NoTurn(f"{len(self._queue)} dials wait already"))
            return turn
        self._queue[turn] = self._clock.seconds() + self._wait_seconds
        if self._timer is None:
            self._timer = self._clock.callLater(self._wait_seconds, self._expire)
        return turn

    def give_back(self) -> None:
        """End a turn; the next in the queue has it."""
        self.taken -= 1
        if self._granting:
            return  # the loop below goes on: a queue of turns that end at once must not become a stack
        self._granting = True
        while self._queue and self.taken < self._at_once:
            turn, _ = self._queue.popitem(last=False)
            self._count()
            turn.callback(None)
        self._granting = False
        self._stop_when_empty()

    def _count(self) -> None:
        self.taken += 1
        self.peak = max(self.peak, self.taken)

    def _leave(self, turn: Deferred[None]) -> None:
        self._queue.pop(turn, None)
        self._stop_when_empty()

    def _stop_when_empty(self) -> None:
        if not self._queue and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        # all wait equally long, so the first in the queue is the first to expire: one timer serves all
        self._timer = None
        now = self._clock.seconds()
        expired = []
        for turn, deadline in self._queue.items():
            if deadline > now:
                self._timer = self._clock.callLater(deadline - now, self._expire)
                break
            expired.append(turn)
        for turn in expired:
            del self._queue[turn]
        for turn in expired:
            turn.errback(NoTurn(f"waited {self._wait_seconds:g} s for other dials"))
