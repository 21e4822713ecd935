"""How often one host is told to be unreachable: a scan of closed ports must not drown the other messages."""

from collections import OrderedDict
from collections.abc import Callable

from socksfusion import limits


class _Minute:
    """What one host had since ``began``; ``quiet`` where it had too many before, and only the count is told."""

    __slots__ = ("began", "count", "port", "quiet")

    def __init__(self, began: float, quiet: bool) -> None:
        self.began = began
        self.quiet = quiet
        self.count = 0
        self.port = 0

    @property
    def untold(self) -> int:
        return self.count if self.quiet else max(0, self.count - limits.UNREACHABLE_LINES)


class Unreachable:
    """Of each host ``limits.UNREACHABLE_LINES`` are told in ``limits.UNREACHABLE_SECONDS``, and then a count.

    After such a time a host is told by its count alone, until it had no more than that many in one. ``seconds`` is a
    monotonic clock; ``summed_up(host, port, count)`` tells a count and the port of the last. Memory is bounded.
    """

    def __init__(self, seconds: Callable[[], float], summed_up: Callable[[str, int, int], object]) -> None:
        self._seconds = seconds
        self._summed_up = summed_up
        self._hosts: OrderedDict[str, _Minute] = OrderedDict()

    def is_told(self, host: str, port: int) -> bool:
        """Count one of ``host``; whether it has a line of its own."""
        self.look()
        minute = self._hosts.get(host)
        if minute is None:
            minute = self._hosts[host] = _Minute(self._seconds(), quiet=False)
            if len(self._hosts) > limits.UNREACHABLE_HOSTS:
                self._tell(*self._hosts.popitem(last=False))
        minute.count += 1
        minute.port = port
        return minute.untold == 0

    def look(self) -> None:
        """Tell the counts whose time is over."""
        now = self._seconds()
        while self._hosts:
            host, minute = next(iter(self._hosts.items()))
            if now - minute.began < limits.UNREACHABLE_SECONDS:
                return
            del self._hosts[host]
            self._tell(host, minute)
            if minute.count > limits.UNREACHABLE_LINES:
                self._hosts[host] = _Minute(now, quiet=True)

    def _tell(self, host: str, minute: _Minute) -> None:
        if minute.untold:
            self._summed_up(host, minute.port, minute.untold)
