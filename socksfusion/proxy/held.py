"""Opens that are held while their Agent comes back: bounded, and not by whoever came first."""

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from socksfusion import limits

T = TypeVar("T", bound=Hashable)


class HeldOpens(Generic[T]):
    """What waits for one Agent, by user.

    Above ``limits.HELD_OPENS`` the user with the most gives up the newest of them, so that nobody who asks for a few
    is shut out by somebody who asks for thousands.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._by_user: dict[str, dict[T, IDelayedCall]] = {}
        self._users: dict[T, str] = {}

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[T]:
        """Everything, in the order in which it came; it may be removed meanwhile."""
        return iter(list(self._users))

    def add(self, item: T, user: str, seconds: float, too_late: Callable[[], object]) -> T | None:
        """Keep ``item`` for ``seconds``; then ``too_late`` is called, and it is kept no more.

        Gives the item that may wait no longer for it, if there is one; it may be ``item`` itself.
        """

        def over() -> None:
            self._drop(item)
            too_late()

        self._users[item] = user
        self._by_user.setdefault(user, {})[item] = self._clock.callLater(seconds, over)
        if len(self) <= limits.HELD_OPENS:
            return None
        # where several have as many, it is the newcomer's own
        greediest = max(self._by_user.values(), key=lambda items: (len(items), items is self._by_user[user]))
        newest = next(reversed(greediest))
        self.remove(newest)
        return newest

    def remove(self, item: T) -> bool:
        """Keep ``item`` no more; gives whether it was kept."""
        limit = self._drop(item)
        if limit is None:
            return False
        limit.cancel()
        return True

    def take_all(self) -> list[T]:
        """Everything, in the order in which it came."""
        items = list(self._users)
        for item in items:
            self.remove(item)
        return items

    def _drop(self, item: T) -> IDelayedCall | None:
        user = self._users.pop(item, None)
        if user is None:
            return None
        items = self._by_user[user]
        limit = items.pop(item)
        if not items:
            del self._by_user[user]
        return limit
