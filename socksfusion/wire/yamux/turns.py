"""Turns: among users, and among the streams of one user, by the same rule."""

from collections import OrderedDict
from typing import Generic, TypeVar
from typing import Protocol as Interface

from socksfusion.wire.yamux.stream import Stream


class Waits(Interface):
    """What takes turns; it keeps two notes for them."""

    ready: bool
    """Whether it stands in a queue."""
    served_in: int
    """The round in which it last had a turn."""


T = TypeVar("T", bound=Waits)


class Turns(Generic[T]):
    """Whoever becomes ready goes before those who have been sending (``fresh`` before ``turn``), once a round.

    So one with little to say waits behind one frame, and many of them cannot starve one with much (as in RFC 8290,
    fq_codel).
    """

    __slots__ = ("_left_in_round", "_round", "fresh", "turn")

    def __init__(self) -> None:
        self.fresh: OrderedDict[T, None] = OrderedDict()
        self.turn: OrderedDict[T, None] = OrderedDict()
        self._round = 0
        self._left_in_round = 0

    def add(self, one: T) -> None:
        """Give ``one`` its place: it has become ready."""
        one.ready = True
        if self.turn and one.served_in == self._round:
            self.turn[one] = None
        else:
            self.fresh[one] = None

    def remove(self, one: T) -> None:
        """``one`` is ready no more."""
        one.ready = False
        self.fresh.pop(one, None)
        self.turn.pop(one, None)

    def next(self) -> T:
        """Whose turn it is, taken out of its queue; one must be ready. Its ``turn`` comes again if it is put there."""
        if self.fresh:
            one, _ = self.fresh.popitem(last=False)
        else:
            if self._left_in_round <= 0:
                self._round += 1
                self._left_in_round = len(self.turn)
            self._left_in_round -= 1
            one, _ = self.turn.popitem(last=False)
        one.served_in = self._round
        return one


class Share(Turns[Stream]):
    """The streams of one user, who takes turns with other users."""

    __slots__ = ("__weakref__", "ready", "served_in")

    def __init__(self) -> None:
        super().__init__()
        self.ready = False
        self.served_in = -1
