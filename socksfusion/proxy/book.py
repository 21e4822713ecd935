"""What the Proxy writes down: of agents and scans, in batches, in the registry's own thread."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.proxy.unwritten import Unwritten, write_in_order
from socksfusion.registry.database import RefusedChange
from socksfusion.registry.schema import Scan, ScanNotes, Seen, Snapshot, Untested, WhyEnded
from socksfusion.registry.watch import RegistryWatch
from socksfusion.repeating import Repeating

_log = make_logger()


class Book(Repeating):
    """Collects what changes often and writes it every ``limits.REGISTRY_WRITE_SECONDS``: one statement a kind.

    What decides who may come in (:meth:`activate`) is written at once, and so are an admin's word and the begin and end
    of a scan; what comes while these are written goes together in the next turn of the registry's thread. Where the
    registry fails the log says so, once, and connections go on; what was collected is written when it works again.
    """

    name = "book"

    def __init__(self, clock: IReactorTime, watch: RegistryWatch) -> None:
        super().__init__(clock, limits.REGISTRY_WRITE_SECONDS, self.write)
        self.before_writing: list[Callable[[], None]] = []
        """Called before each batch, by those who have much to note."""
        self._watch = watch
        self._seen: dict[str, dict[str, Any]] = {}
        self._clients: dict[str, float] = {}
        self._touched: dict[str, float] = {}
        self._notes: dict[str, ScanNotes] = {}
        self._untested: list[Untested] = []
        self._kinds_untested: set[tuple[str, str]] = set()
        # written one after the other, in this order: a gap belongs to a scan that is there, and so on
        self._changes = Unwritten()
        self._changing: Deferred[Any] | None = None
        self._failing = False

    @property
    def snapshot(self) -> Snapshot:
        """The registry as last seen."""
        return self._watch.snapshot

    @property
    def all_changes_written(self) -> bool:
        """Whether the snapshot shows every begin and end of a scan that was told."""
        return not self._changes and self._changing is None

    def stopService(self) -> Deferred[Any]:
        """Write what is left; fires when that is done, or has failed."""
        super().stopService()
        return self.write()

    # -- agents ----------------------------------------------------------------------------------------------------

    def look(self) -> Deferred[Any]:
        """Read the registry anew; when it fires the snapshot shows all changes up to now."""
        return self._watch.run(lambda: None)

    def activate(self, digest: bytes) -> Deferred[Any]:
        """Make a pending key the active one; when it fires this is committed and the snapshot shows it."""
        return self._watch.run(self._watch.registry.activate, digest)

    def seen(self, agent: str, address: str, version: str, wall: float) -> None:
        """An agent serves from ``address`` since ``wall`` (Unix seconds)."""
        self._note(agent, connected=True, at=wall, address=address, version=version)

    def left(self, agent: str, error: str | None, wall: float) -> None:
        """An agent is gone; ``error`` is why, unless it left in order."""
        self._note(agent, connected=False, at=wall)
        if error is not None:
            self.trouble(agent, error)

    def trouble(self, agent: str, why: str) -> None:
        """Something of this agent was refused."""
        self._note(agent, error=why)

    def paused(self, agent: str, paused: bool, until: float | None = None) -> None:
        """The agent's admin paused it, ``until`` then (Unix seconds) if that ends by itself, or resumed it."""
        self._change("set_paused", agent, paused, until)

    def uninstalled(self, agent: str, uninstalled: bool) -> None:
        """The agent's admin uninstalled it; or it came back all the same."""
        self._change("set_uninstalled", agent, uninstalled)

    def _note(self, agent: str, **values: Any) -> None:
        self._seen.setdefault(agent, {}).update(values)

    def client_seen(self, client: str, wall: float) -> None:
        """An account has opened something."""
        self._clients[client] = wall

    # -- scans (times in Unix seconds) -----------------------------------------------------------------------------

    def scan_started(self, scan: Scan) -> None:
        """A scan has begun."""
        self._change("scans.start", scan)

    def scan_ended(self, scan_id: str, ended: float, why: WhyEnded) -> None:
        """A scan is over."""
        self._touched.pop(scan_id, None)
        self._change("scans.end", scan_id, ended, why)

    def scans_touched(self, scans: dict[str, float]) -> None:
        """Scan ids to when a stream was last open."""
        self._touched.update(scans)

    def scan_noted(self, scan_id: str, notes: ScanNotes) -> None:
        """What a scan has done since it was last noted."""
        self._notes[scan_id] = _sum(self._notes.get(scan_id, ScanNotes()), notes)

    def scan_left_untested(self, targets: list[Untested]) -> None:
        """What scans could not try, or not to its end: where it is too much, still one of each kind for each scan."""
        for one in targets:
            kind = one.scan, one.what
            if len(self._untested) < limits.UNTESTED_PER_SCAN or kind not in self._kinds_untested:
                self._untested.append(one)
                self._kinds_untested.add(kind)

    def gap_began(self, scan_id: str, at: float) -> None:
        """The agent of a running scan has no carrier from ``at`` on; changes nothing where that is known."""
        self._changes.gap_began(scan_id, at)

    def gap_ended(self, scan_id: str, at: float) -> None:
        """It has one again, or the scan is over."""
        self._changes.gap_ended(scan_id, at)

    def scan_port_trouble(self, scan_id: str, why: str | None) -> None:
        """Why a scan's port can't be opened; None: it is open."""
        self._change("scans.set_port_trouble", scan_id, why)

    # -- writing ---------------------------------------------------------------------------------------------------

    def write(self) -> Deferred[Any]:
        """Write what has been collected; fires when that is done, or has failed."""
        for note in self.before_writing:
            note()
        seen, self._seen = self._seen, {}
        clients, self._clients = self._clients, {}
        touched, self._touched = self._touched, {}
        notes, self._notes = self._notes, {}
        untested, self._untested = self._untested, []
        self._kinds_untested = set()
        written = [self._write_changes()]
        if seen:
            batch = [Seen(agent, **values) for agent, values in seen.items()]
            written.append(self._write("write_seen", batch).addErrback(lambda _: self._note_again(seen)))
        if clients:
            # one that is lost is noted again when it next opens something
            written.append(self._write("clients.write_seen", clients).addErrback(lambda _: None))
        if touched:
            written.append(self._write("scans.touch", touched).addErrback(lambda _: self._touch_again(touched)))
        if notes:
            written.append(self._write("scans.note", notes).addErrback(lambda _: self._count_again(notes)))
        if untested:
            written.append(self._write("scans.add_untested", untested).addErrback(lambda _: self._list_again(untested)))
        return DeferredList(written)

    def _note_again(self, seen: dict[str, dict[str, Any]]) -> None:
        self._seen = {agent: seen.get(agent, {}) | self._seen.get(agent, {}) for agent in seen | self._seen}

    def _touch_again(self, touched: dict[str, float]) -> None:
        self._touched = touched | self._touched

    def _count_again(self, notes: dict[str, ScanNotes]) -> None:
        for scan_id, noted in notes.items():
            self.scan_noted(scan_id, noted)

    def _list_again(self, untested: list[Untested]) -> None:
        later, self._untested = self._untested, []
        self._kinds_untested = set()
        self.scan_left_untested(untested + later)

    def _change(self, method: str, *arguments: Any) -> None:
        self._changes.add(method, *arguments)
        self._write_changes()

    def _write_changes(self) -> Deferred[Any]:
        changing = self._changing
        if changing is None:
            changing = self._changing = Deferred.fromCoroutine(self._write_all_changes())
            changing.addBoth(self._changes_written)
        waiting: Deferred[Any] = Deferred()
        changing.addBoth(waiting.callback)
        return waiting

    def _changes_written(self, _result: object) -> None:
        self._changing = None

    async def _write_all_changes(self) -> None:
        """What waits goes in one turn of the registry's thread: a thousand scans that begin are read anew once."""
        while self._changes:
            turn = self._changes.take()
            refused: list[RefusedChange] = []
            try:
                await self._watch.run(write_in_order, self._watch.registry, turn, refused)
            except Exception:
                self._not_written(Failure())
                self._changes.put_back(turn)
                return
            finally:
                for why in refused:
                    # a scan that the registry does not take, such as that of an agent that is gone from it
                    _log.error("a change was not written: {why}", why=why)
            self._written(None)

    def _write(self, method: str, *arguments: Any) -> Deferred[Any]:
        """Call the registry's ``method`` in its thread."""
        return self._watch.run(attrgetter(method)(self._watch.registry), *arguments).addCallbacks(
            self._written, self._not_written
        )

    def _written(self, _result: object) -> None:
        if self._failing:
            self._failing = False
            _log.info("the registry can be written again")

    def _not_written(self, failure: Failure) -> Failure:
        if not self._failing and not failure.check(RefusedChange):
            self._failing = True
            _log.error("the registry could not be written: {why}", why=failure.getErrorMessage())
        return failure


def _sum(one: ScanNotes, other: ScanNotes) -> ScanNotes:
    replies = one.results.keys() | other.results.keys()
    return ScanNotes(
        streams=one.streams + other.streams,
        bytes_to_target=one.bytes_to_target + other.bytes_to_target,
        bytes_to_client=one.bytes_to_client + other.bytes_to_client,
        results={reply: one.results.get(reply, 0) + other.results.get(reply, 0) for reply in replies},
        sources=one.sources | other.sources,
    )
