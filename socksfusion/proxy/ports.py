"""Clients' ports of agents and of running scans: a listener each, opened and closed as the registry says."""

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import ServerFactory

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.proxy.access import Access
from socksfusion.registry.schema import Scan, Snapshot

_log = make_logger()


class OwnPorts(Service):
    """Listens on each registered agent's own port, and on that of each explicit scan while it runs.

    ``reactor`` listens (``IReactorTCP``) and keeps time (``IReactorTime``); ``make_factory`` builds the front for whom
    a port is. ``scans`` gives the running scans. A port that is in use is told once, to the log and, where it is a
    scan's, by ``trouble(scan_id, why)``, with None once it is open; it is tried again every
    ``limits.PORT_RETRY_SECONDS``. The others are not disturbed.
    """

    name = "own-ports"

    def __init__(
        self,
        reactor: Any,
        make_factory: Callable[[Access], ServerFactory],
        snapshot: Callable[[], Snapshot],
        scans: Callable[[], Iterable[Scan]],
        trouble: Callable[[str, str | None], None],
        interface: str = "127.0.0.1",
    ) -> None:
        self._reactor = reactor
        self._make_factory = make_factory
        self._snapshot = snapshot
        self._scans = scans
        self._trouble = trouble
        self._interface = interface
        self._open: dict[int, tuple[Access, IListeningPort]] = {}
        self._closing: dict[int, Deferred[Any]] = {}
        self._told: set[tuple[int, Access]] = set()
        self._retry: IDelayedCall | None = None

    def startService(self) -> None:
        """Open what the registry lists."""
        super().startService()  # type: ignore[no-untyped-call]
        self.look()

    def stopService(self) -> Deferred[Any]:
        """Close every port."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._cancel_retry()
        for number in list(self._open):
            self._close(number)
        return gatherResults(list(self._closing.values()))

    def listening(self) -> dict[int, str]:
        """Open ports and whose they are."""
        return {number: owner(access) for number, (access, _) in sorted(self._open.items())}

    def look(self) -> None:
        """Make the open ports what agents and scans have; a revoked agent keeps its port and nobody else gets it."""
        if not self.running:
            return
        self._cancel_retry()
        wanted = self._wanted()
        for number, (access, _) in list(self._open.items()):
            if wanted.get(number) != access:
                self._close(number)
        self._told &= set(wanted.items())
        for number, access in wanted.items():
            if number not in self._open and number not in self._closing:
                self._listen(number, access)
        if self._told:
            self._retry = self._reactor.callLater(limits.PORT_RETRY_SECONDS, self.look)

    def _wanted(self) -> dict[int, Access]:
        wanted = {
            agent.port: Access(peer="", agent=agent.name)
            for agent in self._snapshot().agents.values()
            if agent.port is not None
        }
        for scan in self._scans():
            if scan.port is not None and scan.port not in wanted:  # the registry gives no port twice
                wanted[scan.port] = Access(peer="", agent=scan.agent, scan=scan.id)
        return wanted

    def _close(self, number: int) -> None:
        access, port = self._open.pop(number)

        def closed(_result: Any) -> None:
            # told once it is true: the reactor closes it in its next turn
            _log.info("port {port} of {owner} is closed", port=number, owner=owner(access))
            del self._closing[number]
            # it may be somebody else's by now
            self.look()

        self._closing[number] = maybeDeferred(port.stopListening)
        self._closing[number].addBoth(closed)

    def _cancel_retry(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()

    def _listen(self, number: int, access: Access) -> None:
        try:
            port = self._reactor.listenTCP(
                number, self._make_factory(access), backlog=limits.LISTEN_BACKLOG, interface=self._interface
            )
        except CannotListenError as error:
            if (number, access) not in self._told:
                self._told.add((number, access))
                self._tell(number, access, error)
            return
        self._told.discard((number, access))
        if access.scan is not None:
            self._trouble(access.scan, None)  # what an earlier Proxy may have told
        self._open[number] = (access, port)
        _log.info("{owner} has port {port}", owner=owner(access), port=number)

    def _tell(self, number: int, access: Access, error: CannotListenError) -> None:
        advice = "give the agent another" if access.scan is None else "start the scan with another"
        _log.error(
            "port {port} of {owner} can't be opened: {why}; free it, or {advice}",
            port=number,
            owner=owner(access),
            why=error.socketError,
            advice=advice,
        )
        if access.scan is not None:
            self._trouble(access.scan, f"port {number} can't be opened: {error.socketError}; free it, or {advice}")


def owner(access: Access) -> str:
    """Whose a port is, for people."""
    return f"agent {access.agent}" if access.scan is None else f"scan {access.scan} of agent {access.agent}"
