"""What the Proxy writes down: of agents and scans, in batches, in the registry's own thread."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.registry.schema import Scan, Seen, Snapshot
from socksfusion.registry.watch import RegistryWatch
from socksfusion.repeating import Repeating

_log = make_logger()


class Book(Repeating):
    """Collects what changes often and writes it every ``limits.REGISTRY_WRITE_SECONDS``: one statement a kind.

    What decides who may come in (:meth:`activate`) is written at once. Where the registry fails the log says so, once,
    and connections go on; what was collected of agents is written when it works again.
    """

    name = "book"

    def __init__(self, clock: IReactorTime, watch: RegistryWatch) -> None:
        super().__init__(clock, limits.REGISTRY_WRITE_SECONDS, self.write)
        self._watch = watch
        self._seen: dict[str, dict[str, Any]] = {}
        self._touched: dict[str, float] = {}
        self._failing = False

    @property
    def snapshot(self) -> Snapshot:
        """The registry as last seen."""
        return self._watch.snapshot

    def stopService(self) -> None:
        """Write what is left."""
        super().stopService()
        self.write()

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

    def _note(self, agent: str, **values: Any) -> None:
        self._seen.setdefault(agent, {}).update(values)

    # -- scans -----------------------------------------------------------------------------------------------------

    def scan_started(self, scan: Scan) -> None:
        """A scan has begun."""
        self._run(self._watch.registry.start_scan, scan).addErrback(_lost)

    def scans_touched(self, scans: dict[str, float]) -> None:
        """Scan ids to when a stream was last open (Unix seconds)."""
        self._touched.update(scans)

    def scan_ended(self, scan_id: str, ended: float) -> None:
        """A scan is over."""
        self._touched.pop(scan_id, None)
        self._run(self._watch.registry.end_scan, scan_id, ended).addErrback(_lost)

    # -- writing ---------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write what has been collected."""
        seen, self._seen = self._seen, {}
        touched, self._touched = self._touched, {}
        if seen:
            batch = [Seen(agent, **values) for agent, values in seen.items()]
            self._run(self._watch.registry.write_seen, batch).addErrback(lambda _: self._note_again(seen))
        if touched:
            self._run(self._watch.registry.touch_scans, touched).addErrback(lambda _: self._touch_again(touched))

    def _note_again(self, seen: dict[str, dict[str, Any]]) -> None:
        self._seen = {agent: seen.get(agent, {}) | self._seen.get(agent, {}) for agent in seen | self._seen}

    def _touch_again(self, touched: dict[str, float]) -> None:
        self._touched = touched | self._touched

    def _run(self, method: Any, *arguments: Any) -> Deferred[Any]:
        return self._watch.run(method, *arguments).addCallbacks(self._written, self._not_written)

    def _written(self, _result: object) -> None:
        if self._failing:
            self._failing = False
            _log.info("the registry can be written again")

    def _not_written(self, failure: Failure) -> Failure:
        if not self._failing:
            self._failing = True
            _log.error("the registry could not be written: {why}", why=failure.getErrorMessage())
        return failure


def _lost(_failure: Failure) -> None:
    """A scan's begin or end that could not be written: it runs and ends all the same, and the log has it."""
