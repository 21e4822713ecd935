"""Turns: how many dials are under way and how many connections open at once, how many begin a second, who is next.

A port scan through the Agent must not use up its descriptors, nor its admin's patience. What is above a limit waits, in
a queue that gives every client the same; what has to wait too long is told from what was tried: it is *not tested*
(attacks.md, rows B4 and F5).
"""

from collections import OrderedDict

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.agent.errors import ConnectFailed
from socksfusion.bucket import Bucket
from socksfusion.tunnel.stream import StreamTransport


class NoTurn(ConnectFailed):
    """Too many before this one."""

    rule = "limits"


class Turn:
    """One dial, and the connection that it makes."""

    __slots__ = ("_dialling", "_open", "_turns")

    def __init__(self, turns: "Turns") -> None:
        self._turns = turns
        self._dialling = True
        self._open = True

    def dialled(self) -> None:
        """The dial is over, the connection stands."""
        if self._dialling:
            self._dialling = False
            self._turns.taken -= 1
            self._turns.grant()

    def stream_lost(self, _stream: StreamTransport, _reason: Failure) -> None:
        """The stream of the connection is gone, and so is the connection."""
        self.end()

    def end(self) -> None:
        """The connection is over, or there is none. Harmless when repeated."""
        if self._open:
            self._open = False
            self._turns.open -= 1
            self._turns.taken -= self._dialling
            self._dialling = False
            self._turns.grant()


class Turns:
    """At most ``at_once`` dials are under way, ``streams`` connections open, and ``per_second`` dials begin a second.

    The rest wait, ``waiting`` of them, each ``wait_seconds`` at most, and the users among them take turns: one who asks
    for thousands does not keep another one waiting. Attributes to read: ``taken`` (dials), ``peak`` (the most that
    there were), ``open`` (connections with the dials for them), ``queued``.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        at_once: int = limits.DIALS_AT_ONCE,
        streams: int = limits.STREAMS_PER_SESSION,
        per_second: float | None = None,
        waiting: int = limits.DIALS_WAITING,
        wait_seconds: float = limits.DIAL_WAIT_SECONDS,
    ) -> None:
        self._clock = clock
        self._at_once = at_once
        self._streams = streams
        self._rate: Bucket | None = None
        if per_second is not None:
            burst = max(1.0, per_second * limits.DIAL_BURST_SECONDS)
            self._rate = Bucket(clock.seconds, per_second, burst)
        self._most_waiting = waiting
        self._wait_seconds = wait_seconds
        self._waiting: OrderedDict[Deferred[Turn], tuple[str, float]] = OrderedDict()
        # whose turn is next stands first
        self._users: OrderedDict[str, OrderedDict[Deferred[Turn], None]] = OrderedDict()
        self._expiry: IDelayedCall | None = None
        self._next_token: IDelayedCall | None = None
        self._granting = False
        self.taken = 0
        self.peak = 0
        self.open = 0

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self, user: str = "") -> "Deferred[Turn]":
        """Fires when ``user`` may dial, with a turn that the caller has to end; fails with :class:`NoTurn`.

        Cancelling it leaves the queue.
        """
        if not self._waiting and self._is_free():
            return succeed(self._begin())
        waits: Deferred[Turn] = Deferred(self._forget)
        if len(self._waiting) >= self._most_waiting:
            waits.errback(NoTurn(f"{len(self._waiting)} dials wait already"))
            return waits
        self._waiting[waits] = user, self._clock.seconds() + self._wait_seconds
        self._users.setdefault(user, OrderedDict())[waits] = None
        if self._expiry is None:
            self._expiry = self._clock.callLater(self._wait_seconds, self._expire)
        self._wait_for_token()
        return waits

    def grant(self) -> None:
        """Something became free: the next in the queue have it."""
        if self._granting:
            return  # the loop below goes on: a queue of turns that end at once must not become a stack
        self._granting = True
        while self._waiting and self._is_free():
            user, waiting = next(iter(self._users.items()))
            turn = next(iter(waiting))
            self._users.move_to_end(user)
            self._forget(turn)
            turn.callback(self._begin())
        self._granting = False
        self._wait_for_token()

    def _is_free(self) -> bool:
        return (
            self.taken < self._at_once
            and self.open < self._streams
            and (self._rate is None or self._rate.tokens() >= 1)
        )

    def _begin(self) -> Turn:
        if self._rate is not None:
            self._rate.spend(1)
        self.taken += 1
        self.open += 1
        self.peak = max(self.peak, self.taken)
        return Turn(self)

    def _forget(self, turn: "Deferred[Turn]") -> None:
        if turn not in self._waiting:
            return
        user, _ = self._waiting.pop(turn)
        others = self._users[user]
        del others[turn]
        if not others:
            del self._users[user]
        if not self._waiting:
            for timer in (self._expiry, self._next_token):
                if timer is not None:
                    timer.cancel()
            self._expiry = self._next_token = None

    # -- time ------------------------------------------------------------------------------------------------------

    def _wait_for_token(self) -> None:
        if self._rate is None or self._next_token is not None or not self._waiting or self._rate.tokens() >= 1:
            return
        seconds = max(self._rate.seconds_until(1), limits.DIAL_TICK_SECONDS)
        self._next_token = self._clock.callLater(seconds, self._token_came)

    def _token_came(self) -> None:
        self._next_token = None
        self.grant()

    def _expire(self) -> None:
        # all wait equally long, so who came first expires first: one timer serves all
        self._expiry = None
        now = self._clock.seconds()
        expired = []
        for turn, (_, deadline) in self._waiting.items():
            if deadline > now:
                self._expiry = self._clock.callLater(deadline - now, self._expire)
                break
            expired.append(turn)
        for turn in expired:
            self._forget(turn)
        for turn in expired:
            turn.errback(NoTurn(f"waited {self._wait_seconds:g} s for this Agent's limits"))
