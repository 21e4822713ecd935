"""Refusals: each is counted by its rule; a rule logs at most one line a second a peer, then a count."""

from collections import Counter, OrderedDict
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits
from socksfusion.log import make_logger, printable
from socksfusion.repeating import Repeating

_log = make_logger()

_Key = tuple[str, str]
"""A peer's host, and a rule."""


class Refusals:
    """Counts what was refused and keeps the log readable while somebody floods us.

    ``seconds`` is the clock (monotonic seconds), for instance ``reactor.seconds``. ``counts`` maps a rule to how
    often it was applied. Memory is bounded: the peer longest unheard of is forgotten first, and what it had
    suppressed is logged.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._seconds = seconds
        self._logged_at: OrderedDict[_Key, float] = OrderedDict()
        self._suppressed: dict[_Key, tuple[int, str]] = {}

    def refuse(self, rule: str, peer: str, why: str) -> None:
        """Count one refusal of ``peer`` (who, e.g. ``192.0.2.1:5000``) by ``rule``; log it unless one was just logged.

        ``why`` may hold text from outside: it is escaped here.
        """
        self.counts[rule] += 1
        # the port of a peer changes with each connection and must not defeat the bound on lines
        key = peer.rsplit(":", 1)[0], rule
        now = self._seconds()
        logged_at = self._logged_at.get(key)
        if logged_at is not None and now - logged_at < limits.REFUSAL_LOG_SECONDS:
            count, _ = self._suppressed.get(key, (0, ""))
            self._suppressed[key] = count + 1, printable(why)
        else:
            count, _ = self._suppressed.pop(key, (0, ""))
            _write(rule, peer, printable(why), count)
            self._logged_at[key] = now
        self._logged_at.move_to_end(key)
        if len(self._logged_at) > limits.REFUSAL_LOG_PEERS:
            oldest, _ = self._logged_at.popitem(last=False)
            self._tell(oldest)

    def tell_overdue(self) -> None:
        """Log the counts that have waited ``limits.REFUSAL_PENDING_SECONDS`` for a further refusal to tell them."""
        now = self._seconds()
        for key in list(self._suppressed):
            if now - self._logged_at[key] >= limits.REFUSAL_PENDING_SECONDS:
                self._logged_at[key] = now
                self._tell(key)

    def tell_all(self) -> None:
        """Log every count that no line has told yet."""
        for key in list(self._suppressed):
            self._tell(key)

    def _tell(self, key: _Key) -> None:
        count, why = self._suppressed.pop(key, (0, ""))
        if count:
            host, rule = key
            # the newest of their reasons stands for them
            _write(rule, host, why, count)


class OverdueRefusals(Repeating):
    """Has the counts of ``refusals`` told that no further refusal tells; at its end, all of them."""

    name = "refusals"

    def __init__(self, clock: IReactorTime, refusals: Refusals) -> None:
        super().__init__(clock, limits.REFUSAL_LOG_SECONDS, refusals.tell_overdue)
        self._refusals = refusals

    def stopService(self) -> None:
        """Tell what is left."""
        super().stopService()
        self._refusals.tell_all()


def _write(rule: str, peer: str, why: str, suppressed: int) -> None:
    more = f" suppressed={suppressed}" if suppressed else ""
    _log.warn(
        "refused rule={rule} peer={peer} why={why}{more}",
        rule=rule,
        peer=printable(peer),
        why=why,
        more=more,
    )
