"""The agents' own clients' ports: a listener each, opened and closed as the registry says."""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import ServerFactory

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.registry.schema import Snapshot

_log = make_logger()


class AgentPorts(Service):
    """Listens on each registered agent's own port; on loopback, since these ports ask for no authentication.

    ``reactor`` listens (``IReactorTCP``) and keeps time (``IReactorTime``); ``make_factory`` builds the SOCKS front for
    an agent's name. A port that is in use is told once and tried again
    every ``limits.PORT_RETRY_SECONDS``; the others are not disturbed.
    """

    name = "agent-ports"

    def __init__(
        self,
        reactor: Any,
        make_factory: Callable[[str], ServerFactory],
        snapshot: Callable[[], Snapshot],
        interface: str = "127.0.0.1",
    ) -> None:
        self._reactor = reactor
        self._make_factory = make_factory
        self._snapshot = snapshot
        self._interface = interface
        self._open: dict[int, tuple[str, IListeningPort]] = {}
        self._closing: dict[int, Deferred[Any]] = {}
        self._told: set[int] = set()
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
        return {number: agent for number, (agent, _) in sorted(self._open.items())}

    def look(self) -> None:
        """Make the open ports what the registry lists; a revoked agent keeps its port and nobody else gets it."""
        if not self.running:
            return
        self._cancel_retry()
        wanted = {agent.port: agent.name for agent in self._snapshot().agents.values() if agent.port is not None}
        for number, (agent, _) in list(self._open.items()):
            if wanted.get(number) != agent:
                self._close(number)
                _log.info("port {port} of agent {agent} is closed", port=number, agent=agent)
        self._told &= set(wanted)
        for number, agent in wanted.items():
            if number not in self._open and number not in self._closing:
                self._listen(number, agent)
        if self._told:
            self._retry = self._reactor.callLater(limits.PORT_RETRY_SECONDS, self.look)

    def _close(self, number: int) -> None:
        _, port = self._open.pop(number)

        def closed(_result: Any) -> None:
            del self._closing[number]
            # it may be another agent's by now
            self.look()

        self._closing[number] = maybeDeferred(port.stopListening)
        self._closing[number].addBoth(closed)

    def _cancel_retry(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()

    def _listen(self, number: int, agent: str) -> None:
        try:
            port = self._reactor.listenTCP(
                number, self._make_factory(agent), backlog=limits.LISTEN_BACKLOG, interface=self._interface
            )
        except CannotListenError as error:
            if number not in self._told:
                self._told.add(number)
                _log.error(
                    "port {port} of agent {agent} can't be opened: {why}; free it, or give the agent another",
                    port=number,
                    agent=agent,
                    why=error.socketError,
                )
            return
        self._told.discard(number)
        self._open[number] = (agent, port)
        _log.info("agent {agent} has port {port}", agent=agent, port=number)
