"""Scans: spans of time in which Clients use an Agent.

A Client's first connection begins one; it ends after a while idle.

A scan outlives a lost carrier and a restarted Proxy: it stands in the registry, and an Agent that comes back is told
the same scan again, which it knows by its id.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.visit import Visit
from socksfusion.registry.schema import Scan, Snapshot
from socksfusion.repeating import Repeating
from socksfusion.wire.messages import ScanFinished, ScanStarted

_log = make_logger()


class ScanBook(Protocol):
    """What scans are read from and written to (``proxy.book.Book``); nothing here waits for it."""

    @property
    def snapshot(self) -> Snapshot:
        """The registry as last seen."""

    def scan_started(self, scan: Scan) -> None:
        """A scan has begun."""

    def scans_touched(self, scans: dict[str, float]) -> None:
        """Scan ids to when a stream was last open (Unix seconds)."""

    def scan_ended(self, scan_id: str, ended: float) -> None:
        """A scan is over."""


class Scans(Repeating):
    """Which agents are being scanned.

    ``wall`` gives Unix seconds for what is kept; idleness goes by ``clock``.
    """

    name = "scans"

    def __init__(
        self,
        clock: IReactorTime,
        book: ScanBook,
        connected: ConnectedAgents,
        idle_seconds: float = limits.SCAN_IDLE_SECONDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock, max(0.5, min(5.0, idle_seconds / 4)), self.look)
        self._clock = clock
        self._book = book
        self._connected = connected
        self._idle_seconds = idle_seconds
        self._wall = wall
        self._scans: dict[str, Scan] = {}
        self._active: dict[str, float] = {}
        connected.arrived.append(self._agent_arrived)

    def startService(self) -> None:
        """Go on with the scans that ran when the Proxy ended, and begin to look for those that are over."""
        self._resume(self._book.snapshot.scans.values())
        super().startService()

    def of(self, agent: str) -> Scan | None:
        """The scan that uses ``agent`` now, or None."""
        return self._scans.get(agent)

    def all(self) -> list[Scan]:
        """Every running scan, by the agent's name."""
        return [self._scans[agent] for agent in sorted(self._scans)]

    def touch(self, agent: str) -> None:
        """A Client asks for ``agent``: begin a scan unless one runs."""
        self._active[agent] = self._clock.seconds()
        if agent in self._scans:
            return
        now = self._wall()
        scan = Scan(id=secrets.token_hex(8), agent=agent, started=now, ended=None, last_active=now)
        self._scans[agent] = scan
        self._book.scan_started(scan)
        _log.info("scan {scan} of agent {agent} started", scan=scan.id, agent=agent)
        visit = self._connected.get(agent)
        if visit is not None:
            visit.control.send(ScanStarted(scan=scan.id))

    def look(self) -> None:
        """Note which scans are active, end those that have been idle for long enough."""
        now, wall = self._clock.seconds(), self._wall()
        touched: dict[str, float] = {}
        for agent, scan in list(self._scans.items()):
            visit = self._connected.get(agent)
            if visit is not None and visit.open_streams:
                self._active[agent] = now
            if now - self._active[agent] >= self._idle_seconds:
                self._end(scan, wall, visit)
            else:
                touched[scan.id] = wall - (now - self._active[agent])
        if touched:
            self._book.scans_touched(touched)

    def _resume(self, scans: Iterable[Scan]) -> None:
        now, wall = self._clock.seconds(), self._wall()
        for scan in scans:
            self._scans[scan.agent] = scan
            # whatever the wall clock has done meanwhile: neither in the future nor longer ago than it takes to end
            idle = min(max(wall - scan.last_active, 0.0), self._idle_seconds)
            self._active[scan.agent] = now - idle

    def _end(self, scan: Scan, wall: float, visit: Visit | None) -> None:
        del self._scans[scan.agent], self._active[scan.agent]
        self._book.scan_ended(scan.id, wall)
        _log.info("scan {scan} of agent {agent} is over", scan=scan.id, agent=scan.agent)
        if visit is not None:
            visit.control.send(ScanFinished(scan=scan.id))

    def _agent_arrived(self, visit: Visit) -> None:
        scan = self._scans.get(visit.agent)
        if scan is not None:
            visit.control.send(ScanStarted(scan=scan.id))
