"""Many things that must each be over within the same span, watched by one timer instead of one each."""

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

Member = TypeVar("Member")


class Deadlines(Generic[Member]):
    """Members in the order of their coming, which is the order of their deadlines.

    Adding and discarding cost a dict entry; the timer runs for the oldest member only and is left alone when that one
    goes, so that thousands may come and go between two of its calls.
    """

    def __init__(self, clock: IReactorTime, seconds: float, expire: Callable[[Member], None]) -> None:
        """``expire(member)`` is called ``seconds`` after ``add(member)`` unless the member was discarded."""
        self._clock = clock
        self._seconds = seconds
        self._expire = expire
        self._deadlines: dict[Member, float] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, member: Member) -> None:
        """Watch ``member`` from now on."""
        self._deadlines[member] = self._clock.seconds() + self._seconds
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._look)

    def discard(self, member: Member) -> None:
        """Watch ``member`` no more; harmless for one that is not watched."""
        self._deadlines.pop(member, None)

    def pop_oldest(self) -> Member:
        """The member that has been watched longest, watched no more.

        :raises StopIteration: there is none.
        """
        member = next(iter(self._deadlines))
        del self._deadlines[member]
        return member

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._deadlines:
            member, deadline = next(iter(self._deadlines.items()))
            if deadline > now:
                self._timer = self._clock.callLater(deadline - now, self._look)
                return
            del self._deadlines[member]
            self._expire(member)
