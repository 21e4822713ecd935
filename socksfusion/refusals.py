"""Refusals: each is counted by its rule; a rule logs at most one line a second a peer, then a count."""

from collections import Counter, OrderedDict
from collections.abc import Callable

from socksfusion import limits
from socksfusion.log import make_logger, printable

_log = make_logger()


class Refusals:
    """Counts what was refused and keeps the log readable while somebody floods us.

    ``seconds`` is the clock (monotonic seconds), for instance ``reactor.seconds``. ``counts`` maps a rule to how
    often it was applied. Memory is bounded: the peer longest unheard of is forgotten first, and what it had
    suppressed is logged.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._seconds = seconds
        self._recent: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def refuse(self, rule: str, peer: str, why: str) -> None:
        """Count one refusal of ``peer`` (who, e.g. ``192.0.2.1:5000``) by ``rule``; log it unless one was just logged.

        ``why`` may hold text from outside: it is escaped here.
        """
        self.counts[rule] += 1
        # the port of a peer changes with each connection and must not defeat the bound on lines
        host = peer.rsplit(":", 1)[0]
        now = self._seconds()
        logged_at, suppressed = self._recent.pop((host, rule), (None, 0))
        if logged_at is not None and now - logged_at < limits.REFUSAL_LOG_SECONDS:
            self._recent[(host, rule)] = (logged_at, suppressed + 1)
            return
        self._write(rule, peer, why, suppressed)
        self._recent[(host, rule)] = (now, 0)
        while len(self._recent) > limits.REFUSAL_LOG_PEERS:
            (old_host, old_rule), (_, old_suppressed) = self._recent.popitem(last=False)
            if old_suppressed:
                self._write(old_rule, old_host, "forgotten", old_suppressed)

    def _write(self, rule: str, peer: str, why: str, suppressed: int) -> None:
        more = f" suppressed={suppressed}" if suppressed else ""
        _log.warn(
            "refused rule={rule} peer={peer} why={why}{more}",
            rule=rule,
            peer=printable(peer),
            why=printable(why),
            more=more,
        )
