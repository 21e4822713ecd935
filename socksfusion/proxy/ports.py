"""The agents' own clients' ports: a listener each, opened and closed as the registry says."""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.internet.protocol import ServerFactory

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.registry.schema import Snapshot

_log = make_logger()


class AgentPorts(Service):
    """Listens on each registered agent's own port; on loopback, since these ports ask for no authentication.

    ``make_factory`` builds the SOCKS front for an agent's name. A port that is in use is told once and tried again at
    each look; the others are not disturbed.
    """

    name = "agent-ports"

    def __init__(
        self,
        reactor: IReactorTCP,
        make_factory: Callable[[str], ServerFactory],
        snapshot: Callable[[], Snapshot],
        interface: str = "127.0.0.1",
    ) -> None:
        self._reactor = reactor
        self._make_factory = make_factory
        self._snapshot = snapshot
        self._interface = interface
        self._open: dict[int, tuple[str, IListeningPort]] = {}
        self._told: set[int] = set()

    def startService(self) -> None:
        """Open what the registry lists."""
        super().startService()  # type: ignore[no-untyped-call]
        self.look()

    def stopService(self) -> Deferred[Any]:
        """Close every port."""
        super().stopService()  # type: ignore[no-untyped-call]
        ports, self._open = self._open, {}
        return gatherResults([_stopped(port) for _, port in ports.values()])

    def listening(self) -> dict[int, str]:
        """Open ports and whose they are."""
        return {number: agent for number, (agent, _) in sorted(self._open.items())}

    def look(self) -> None:
        """Make the open ports what the registry lists; a revoked agent keeps its port and nobody else gets it."""
        if not self.running:
            return
        wanted = {agent.port: agent.name for agent in self._snapshot().agents.values() if agent.port is not None}
        for number, (agent, port) in list(self._open.items()):
            if wanted.get(number) != agent:
                del self._open[number]
                port.stopListening()
                _log.info("port {port} of agent {agent} is closed", port=number, agent=agent)
        for number, agent in wanted.items():
            if number not in self._open:
                self._listen(number, agent)
        self._told &= set(wanted)

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


def _stopped(port: IListeningPort) -> Deferred[Any]:
    stopped = port.stopListening()
    if isinstance(stopped, Deferred):
        return stopped
    done: Deferred[Any] = Deferred()
    done.callback(None)
    return done
