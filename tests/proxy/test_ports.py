"""The agents' own ports: opened, closed and handed over as the registry says, never to another agent by themselves."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.proxy.ports import AgentPorts
from socksfusion.registry.schema import Snapshot
from tests.proxy.gatehouse import agent


class Factory(ServerFactory):
    def __init__(self, agent: str) -> None:
        self.agent = agent


class Port:
    def __init__(self, reactor: "Reactor", number: int, factory: Any, interface: str) -> None:
        self.reactor, self.number, self.factory, self.interface = reactor, number, factory, interface
        self.closed: Deferred[None] = Deferred()

    def stopListening(self) -> "Deferred[None]":
        if not self.reactor.closes_slowly:
            self.reactor.free(self.number)
        return self.closed


class Reactor(Clock):
    """Listens on numbers only; a number can be taken once."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[int, Port] = {}
        self.foreign: set[int] = set()
        self.closes_slowly = False

    def listenTCP(self, number: int, factory: Any, backlog: int, interface: str) -> Port:
        assert backlog == limits.LISTEN_BACKLOG
        if number in self.ports or number in self.foreign:
            raise CannotListenError(interface, number, OSError(98, "Address already in use"))
        self.ports[number] = Port(self, number, factory, interface)
        return self.ports[number]

    def free(self, number: int) -> None:
        self.ports.pop(number).closed.callback(None)

    def owners(self) -> dict[int, str]:
        return {number: port.factory.agent for number, port in self.ports.items()}


class Ports:
    def __init__(self) -> None:
        self.reactor = Reactor()
        self.agents: dict[str, Any] = {}
        self.service = AgentPorts(self.reactor, Factory, lambda: Snapshot(self.agents, {}, {}))

    def registered(self, **ports: int | None) -> None:
        self.agents = {name: agent(name, port=port) for name, port in ports.items()}
        self.service.look()


@pytest.fixture
def ports() -> Ports:
    made = Ports()
    made.registered(acme=1081, other=None)
    made.service.startService()
    return made


def test_ports_are_opened_at_the_start_on_loopback(ports: Ports) -> None:
    assert ports.reactor.owners() == {1081: "acme"}
    assert ports.reactor.ports[1081].interface == "127.0.0.1"
    assert ports.service.listening() == {1081: "acme"}


def test_nothing_is_opened_before_the_start() -> None:
    made = Ports()
    made.registered(acme=1081)
    assert made.reactor.owners() == {}


def test_a_change_is_applied_at_once(ports: Ports) -> None:
    ports.registered(acme=1082, other=1083)
    assert ports.reactor.owners() == {1082: "acme", 1083: "other"}
    ports.registered(acme=None, other=1083)
    assert ports.reactor.owners() == {1083: "other"}


def test_an_unchanged_port_is_left_alone(ports: Ports) -> None:
    before = ports.reactor.ports[1081]
    ports.registered(acme=1081, other=1083)
    assert ports.reactor.ports[1081] is before


def test_a_revoked_agent_keeps_its_port(ports: Ports) -> None:
    """Whoever still uses it must not reach another agent."""
    ports.agents = {"acme": agent("acme", revoked=True, port=1081)}
    ports.service.look()
    assert ports.reactor.owners() == {1081: "acme"}


@pytest.mark.parametrize("slowly", [False, True])
def test_a_port_that_changes_hands_is_closed_first(ports: Ports, slowly: bool) -> None:
    ports.reactor.closes_slowly = slowly
    ports.registered(acme=None, other=1081)
    if slowly:
        assert ports.service.listening() == {}
        ports.reactor.free(1081)
    assert ports.reactor.owners() == {1081: "other"}
    assert ports.service.listening() == {1081: "other"}


def test_a_port_in_use_is_tried_again_and_disturbs_no_other(ports: Ports) -> None:
    ports.reactor.foreign.add(1082)
    ports.registered(acme=1081, other=1082)
    assert ports.reactor.owners() == {1081: "acme"}
    ports.reactor.advance(limits.PORT_RETRY_SECONDS)
    ports.reactor.foreign.clear()
    ports.reactor.advance(limits.PORT_RETRY_SECONDS)
    assert ports.reactor.owners() == {1081: "acme", 1082: "other"}
    assert not ports.reactor.getDelayedCalls()


def test_a_port_that_nobody_wants_any_more_is_not_tried_again(ports: Ports) -> None:
    ports.reactor.foreign.add(1082)
    ports.registered(acme=1081, other=1082)
    ports.registered(acme=1081, other=None)
    assert not ports.reactor.getDelayedCalls()


@pytest.mark.parametrize("slowly", [False, True])
def test_stopping_closes_all_and_waits_for_it(ports: Ports, slowly: bool) -> None:
    ports.reactor.foreign.add(1082)
    ports.registered(acme=1081, other=1082)
    ports.reactor.closes_slowly = slowly
    stopped: list[Any] = []
    ports.service.stopService().addCallback(stopped.append)
    if slowly:
        assert stopped == []
        ports.reactor.free(1081)
    assert len(stopped) == 1
    assert ports.reactor.owners() == {}
    assert not ports.reactor.getDelayedCalls()
