"""What the Agent is doing now, for its admin's `status` and for the live line."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits
from socksfusion.agent.connector import Connector
from socksfusion.agent.live_line import LiveLine
from socksfusion.agent.opens import Opens
from socksfusion.agent.policy import Policy
from socksfusion.agent.switch import Switch
from socksfusion.log import printable
from socksfusion.repeating import Repeating


class Status(Repeating):
    """Looks at what passes every ``limits.STATUS_SECONDS``, and reports.

    The functions in ``changed`` are called after each look; ``wall_clock`` gives Unix seconds.
    """

    name = "status"

    def __init__(
        self,
        clock: IReactorTime,
        connector: Connector,
        switch: Switch,
        opens: Opens,
        policy: Policy,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock, limits.STATUS_SECONDS, self._measure)
        self.changed: list[Callable[[], object]] = []
        self._live: LiveLine | None = None
        self.to_target_rate = 0.0
        self.to_client_rate = 0.0
        self._clock = clock
        self._connector = connector
        self._switch = switch
        self._opens = opens
        self._policy = policy
        self._wall_clock = wall_clock
        self._state = ("", wall_clock())
        self._measured: tuple[object, float, int, int] | None = None

    def show_on(self, live: LiveLine) -> None:
        """Keep ``live`` up to date, and take it away at the end."""
        self._live = live
        self.changed.append(lambda: live.tell(self.line()))

    def startService(self) -> None:
        """Begin, with a line at once."""
        super().startService()
        if self._live is not None:
            self._live.tell(self.line())

    def stopService(self) -> None:
        """The terminal is the shell's again."""
        super().stopService()
        if self._live is not None:
            self._live.end()

    @property
    def state(self) -> str:
        """One word: ``paused``, ``scanning``, ``serving``, ``connecting``."""
        call = self._connector.call
        if self._switch.paused:
            return "paused"
        if call is None or not call.welcomed:
            return "connecting"
        return "scanning" if self._connector.scans else "serving"

    def report(self) -> dict[str, Any]:
        """Everything, as JSON takes it; times in UTC."""
        call = self._connector.call
        connected = call is not None and call.welcomed
        state, since = self._stated()
        rules = self._policy.rules
        return {
            "agent": printable(self._connector.copy.agent),
            "state": state,
            "since": _utc(since),
            "proxy": self._connector.proxy,
            "connected": connected,
            "scans": [printable(scan) for scan in self._connector.scans],
            "streams": len(self._opens),
            "bytes_to_targets_per_second": round(self.to_target_rate),
            "bytes_to_clients_per_second": round(self.to_client_rate),
            "last_error": self._connector.last_error,
            "paused": self._switch.paused,
            "paused_until": None if self._switch.until is None else _utc(self._switch.until),
            "scope": str(self._policy.agreed),
            "policy": "default" if rules is None else [printable(rule.text) for rule in rules.rules],
            "policy_problem": self._policy.problem,
        }

    def line(self) -> str:
        """The same in a few words, for one line of a terminal."""
        scans, error = self._connector.scans, self._connector.last_error
        parts = [self.state, f"scan {printable(scans[-1])}" if scans else "no scan"]
        parts += [f"{len(self._opens)} streams", _rate(self.to_target_rate + self.to_client_rate)]
        if error:
            parts.append(f"last error: {error}")
        return " | ".join(parts)

    def _stated(self) -> tuple[str, float]:
        state = self.state
        if state != self._state[0]:
            self._state = state, self._wall_clock()
        return self._state

    def _measure(self) -> None:
        self._stated()
        call, now = self._connector.call, self._clock.seconds()
        carrier = call.carrier if call is not None else None
        before = self._measured
        self._measured = None if carrier is None else (carrier, now, carrier.bytes_received, carrier.bytes_sent)
        self.to_target_rate = self.to_client_rate = 0.0
        if before is not None and self._measured is not None and before[0] is carrier and now > before[1]:
            self.to_target_rate = (self._measured[2] - before[2]) / (now - before[1])
            self.to_client_rate = (self._measured[3] - before[3]) / (now - before[1])
        for changed in self.changed:
            changed()


def _rate(bytes_per_second: float) -> str:
    if bytes_per_second < limits.KIB:
        return f"{bytes_per_second:.0f} B/s"
    if bytes_per_second < limits.MIB:
        return f"{bytes_per_second / limits.KIB:.1f} KiB/s"
    return f"{bytes_per_second / limits.MIB:.1f} MiB/s"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
