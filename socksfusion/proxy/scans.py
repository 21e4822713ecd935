"""Scans: spans of time in which Clients use an Agent.

An *implicit* one begins with a Client's first connection and ends after a while idle. *Explicit* ones are started and
stopped by command: another process writes them to the registry, and here they are noticed. Several of them may run on
one Agent.

A scan outlives a lost carrier and a restarted Proxy: it stands in the registry, and an Agent that comes back is told
the same scan again, which it knows by its id.
"""

import secrets
import time
from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits
from socksfusion.log import make_logger, printable
from socksfusion.proxy.access import Grant
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.scan_book import ScanBook
from socksfusion.proxy.scan_record import ScanRecord
from socksfusion.proxy.visit import Visit
from socksfusion.registry.schema import Scan, Snapshot, WhyEnded
from socksfusion.repeating import Repeating
from socksfusion.wire.control_messages import ScanFinished, ScanStarted

_log = make_logger()


class _Running:
    """One running scan: its record, and what is known of it."""

    __slots__ = ("active", "in_gap", "in_registry", "record", "touch_due", "touched")

    def __init__(self, record: ScanRecord, active: float) -> None:
        self.record = record
        self.active = active
        """When a stream was last open, on the reactor's clock; noted as ``touched`` and again from ``touch_due`` on."""
        self.touched = self.touch_due = float("-inf")
        self.in_gap = False
        self.in_registry = False
        """Whether a snapshot has shown it: what is gone from a later one was ended by command."""

    @property
    def scan(self) -> Scan:
        return self.record.scan


class Scans(Repeating):
    """Which agents are being scanned, and what that finds.

    Driven by four kinds of sources: routing (:meth:`begin`), the registry (:meth:`registry_changed`), agents that come
    and go, and a timer (:meth:`look`). ``wall`` gives Unix seconds for what is kept and for the end that a scan was
    given; idleness goes by ``clock``. ``ports_changed`` lists functions that are called when a scan that has a port has
    begun or ended.
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
        super().__init__(clock, max(0.5, min(limits.SCAN_LOOK_SECONDS, idle_seconds / 4)), self.look)
        self.ports_changed: list[Callable[[], None]] = []
        self._clock = clock
        self._book = book
        self._connected = connected
        self._idle_seconds = idle_seconds
        self._wall = wall
        self._running: dict[str, _Running] = {}
        self._by_agent: dict[str, list[_Running]] = {}
        self._implicit: dict[str, _Running] = {}
        # ended here, while the registry may still show them as running, or is to be told of them; and whether a
        # snapshot has shown them: one may begin and end between two
        self._over: dict[str, bool] = {}
        self._unwritten: dict[ScanRecord, None] = {}
        book.before_writing.append(self._note_records)
        connected.arrived.append(self._agent_arrived)
        connected.left.append(self._agent_left)

    def startService(self) -> None:
        """Go on with the scans that run, and begin to look for those that are over."""
        self.registry_changed(self._book.snapshot)
        super().startService()

    # -- what others ask -----------------------------------------------------------------------------------------

    def of(self, agent: str) -> Scan | None:
        """The implicit scan of ``agent`` that runs, or None."""
        running = self._implicit.get(agent)
        return None if running is None else running.scan

    def all(self) -> list[Scan]:
        """Every running scan, by agent and time."""
        scans = [running.scan for running in self._running.values()]
        return sorted(scans, key=lambda scan: (scan.agent, scan.started, scan.id))

    def agents(self) -> Iterable[str]:
        """The agents of which a scan runs."""
        return self._by_agent

    def find(self, grant: Grant) -> ScanRecord | None:
        """The record of the running scan that an open belongs to; None where it would begin one."""
        running = self._implicit.get(grant.agent) if grant.scan is None else self._running.get(grant.scan)
        return None if running is None else running.record

    def begin(self, grant: Grant) -> ScanRecord:
        """A Client opens a connection: the record of its scan, which is active now.

        Without a running implicit scan of the agent this begins one. An explicit one that has just ended gets no
        record of its own any more: what it still does is counted nowhere.
        """
        if grant.scan is None:
            running = self._implicit.get(grant.agent) or self._begin_implicit(grant)
        elif grant.scan in self._running:
            running = self._running[grant.scan]
        else:
            return ScanRecord(Scan(grant.scan, grant.agent, 0.0, 0.0, 0.0), self._wall, lambda _: None)
        running.active = self._clock.seconds()
        return running.record

    def stop_of(self, agent: str, why: WhyEnded) -> None:
        """End every scan of ``agent`` at once, its streams with it."""
        for running in self._of_agent(agent):
            running.record.abort_streams()
            self._end(running, why)

    # -- the registry --------------------------------------------------------------------------------------------

    def registry_changed(self, snapshot: Snapshot) -> None:
        """Take up scans that were started by command, end those that were stopped, or whose agent is shut out."""
        for scan_id, shown in list(self._over.items()):
            if scan_id in snapshot.scans:
                self._over[scan_id] = True
            elif shown or self._book.all_changes_written:
                del self._over[scan_id]
        for scan in snapshot.scans.values():
            running = self._running.get(scan.id)
            if running is not None:
                running.record.scan = scan
                running.in_registry = True
            elif scan.id not in self._over:
                self._take_up(scan)
        for running in list(self._running.values()):
            if running.in_registry and running.scan.id not in snapshot.scans:
                self._end(running, "stopped")
        self.look()

    def _take_up(self, scan: Scan) -> None:
        now, wall = self._clock.seconds(), self._wall()
        # whatever the wall clock has done meanwhile: neither in the future nor longer ago than it takes to end
        idle = min(max(wall - scan.last_active, 0.0), self._idle_seconds)
        running = self._add(scan, now - idle)
        running.in_registry = True
        if running.in_gap:
            # a Proxy that was killed has not said when; so since a carrier was last known to be there
            agent = self._book.snapshot.agents.get(scan.agent)
            seen = agent.last_seen if agent is not None and agent.last_seen is not None else scan.started
            self._book.gap_began(scan.id, min(max(scan.started, scan.last_active, seen), wall))
        if self.running and scan.kind == "explicit":
            _log.info(
                "scan {scan} of agent {agent} started by {by}, with port {port}",
                scan=scan.id,
                agent=scan.agent,
                by=printable(scan.by),
                port=scan.port,
            )

    # -- time ----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Note which scans are active, end those that are over."""
        now, wall = self._clock.seconds(), self._wall()
        touched: dict[str, float] = {}
        for running in list(self._running.values()):
            if self._is_used(running):
                running.active = now
            why = self._why_over(running, now, wall)
            if why is not None:
                self._end(running, why)
            elif running.active > running.touched and now >= running.touch_due:
                running.touched, running.touch_due = running.active, now + limits.SCAN_TOUCHED_SECONDS
                touched[running.scan.id] = wall - (now - running.active)
        if touched:
            self._book.scans_touched(touched)

    def _is_used(self, running: _Running) -> bool:
        if running.record.open_streams:
            return True
        visit = self._connected.get(running.scan.agent)
        if running.scan.kind == "explicit" or visit is None:
            return False
        # dials under way have a stream, but are in no record yet
        return visit.open_streams > sum(other.record.open_streams for other in self._of_agent(running.scan.agent))

    def _why_over(self, running: _Running, now: float, wall: float) -> WhyEnded | None:
        scan = running.scan
        if scan.kind == "implicit":
            # that of a shut out agent goes on as long: whoever began it on the shared port must not reach another one
            return "idle" if now - running.active >= self._idle_seconds else None
        agent = self._book.snapshot.agents.get(scan.agent)
        if agent is None or agent.shut_out(wall):
            return "revoked"
        return "over" if scan.until is not None and wall >= scan.until else None

    def _note_records(self) -> None:
        for record in list(self._unwritten):
            notes, untested = record.take()
            if notes is not None:
                self._book.scan_noted(record.scan.id, notes)
            if untested:
                self._book.scan_left_untested(untested)
            if not record.open_streams:
                del self._unwritten[record]

    # -- begin and end -------------------------------------------------------------------------------------------

    def _begin_implicit(self, grant: Grant) -> _Running:
        now = self._wall()
        scan = Scan(secrets.token_hex(8), grant.agent, now, None, now, by=grant.client or "")
        self._book.scan_started(scan)
        running = self._add(scan, self._clock.seconds())
        if running.in_gap:
            self._book.gap_began(scan.id, now)
        _log.info("scan {scan} of agent {agent} started", scan=scan.id, agent=scan.agent)
        return running

    def _add(self, scan: Scan, active: float) -> _Running:
        running = _Running(ScanRecord(scan, self._wall, self._has_news), active)
        self._running[scan.id] = running
        self._by_agent.setdefault(scan.agent, []).append(running)
        if scan.kind == "implicit":
            self._implicit[scan.agent] = running
        visit = self._connected.get(scan.agent)
        running.in_gap = visit is None
        if visit is not None:
            visit.control.send(ScanStarted(scan=scan.id))
        self._port_changed(scan)
        return running

    def _has_news(self, record: ScanRecord) -> None:
        self._unwritten[record] = None

    def _end(self, running: _Running, why: WhyEnded) -> None:
        scan, wall = running.scan, self._wall()
        del self._running[scan.id]
        of_agent = self._by_agent[scan.agent]
        of_agent.remove(running)
        if not of_agent:
            del self._by_agent[scan.agent]
        if self._implicit.get(scan.agent) is running:
            del self._implicit[scan.agent]
        if running.in_gap:
            self._book.gap_ended(scan.id, wall)
        if why != "stopped":
            self._over[scan.id] = running.in_registry
            self._book.scan_ended(scan.id, wall, why)
        _log.info("scan {scan} of agent {agent} is over: {why}", scan=scan.id, agent=scan.agent, why=_WHY[why])
        visit = self._connected.get(scan.agent)
        if visit is not None:
            visit.control.send(ScanFinished(scan=scan.id))
        self._port_changed(scan)

    def _port_changed(self, scan: Scan) -> None:
        if scan.port is not None:
            for tell in self.ports_changed:
                tell()

    # -- agents --------------------------------------------------------------------------------------------------

    def _of_agent(self, agent: str) -> list[_Running]:
        return list(self._by_agent.get(agent, ()))

    def _agent_arrived(self, visit: Visit) -> None:
        for running in self._of_agent(visit.agent):
            visit.control.send(ScanStarted(scan=running.scan.id))
            if running.in_gap:
                running.in_gap = False
                self._book.gap_ended(running.scan.id, self._wall())

    def _agent_left(self, visit: Visit) -> None:
        for running in self._of_agent(visit.agent):
            if not running.in_gap:
                running.in_gap = True
                self._book.gap_began(running.scan.id, self._wall())


_WHY: dict[WhyEnded, str] = {
    "stopped": "it was stopped",
    "over": "its time is over",
    "idle": "no streams for too long",
    "revoked": "its agent is registered no more",
    "admin": "the admin of its agent's network stopped it",
}
