"""Own ports of agents and scans: as the registry says, and never handed to another by themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from socksfusion import limits
from socksfusion.proxy.access import Access
from socksfusion.proxy.ports import OwnPorts, owner
from socksfusion.registry.schema import Scan, Snapshot
from tests.proxy.gatehouse import agent


class Factory(ServerFactory):
    def __init__(self, access: Access) -> None:
        self.access = access


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
        return {number: owner(port.factory.access) for number, port in self.ports.items()}


class Ports:
    def __init__(self) -> None:
        self.reactor = Reactor()
        self.agents: dict[str, Any] = {}
        self.scans: list[Scan] = []
        self.troubles: list[tuple[str, str | None]] = []
        self.service = OwnPorts(
            self.reactor,
            Factory,
            lambda: Snapshot(self.agents, {}, {}),
            lambda: self.scans,
            lambda scan, why: self.troubles.append((scan, why)),
        )

    def registered(self, **ports: int | None) -> None:
        self.agents = {name: agent(name, port=port) for name, port in ports.items()}
        self.service.look()

    def running(self, **ports: int | None) -> None:
        self.scans = [Scan(scan, "acme", 1.0, None, 1.0, port=port) for scan, port in ports.items()]
        self.service.look()


@contextmanager
def logged() -> Iterator[list[str]]:
    """The lines that are logged meanwhile."""
    lines: list[str] = []

    def note(event: Any) -> None:
        lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(note)
    try:
        yield lines
    finally:
        globalLogPublisher.removeObserver(note)


@pytest.fixture
def ports() -> Ports:
    made = Ports()
    made.registered(acme=1081, other=None)
    made.service.startService()
    return made


def test_ports_are_opened_at_the_start_on_loopback(ports: Ports) -> None:
    assert ports.reactor.owners() == {1081: "agent acme"}
    assert ports.reactor.ports[1081].interface == "127.0.0.1"
    assert ports.service.listening() == {1081: "agent acme"}


def test_nothing_is_opened_before_the_start() -> None:
    made = Ports()
    made.registered(acme=1081)
    assert made.reactor.owners() == {}


def test_a_change_is_applied_at_once(ports: Ports) -> None:
    ports.registered(acme=1082, other=1083)
    assert ports.reactor.owners() == {1082: "agent acme", 1083: "agent other"}
    ports.registered(acme=None, other=1083)
    assert ports.reactor.owners() == {1083: "agent other"}


def test_an_unchanged_port_is_left_alone(ports: Ports) -> None:
    before = ports.reactor.ports[1081]
    ports.registered(acme=1081, other=1083)
    assert ports.reactor.ports[1081] is before


def test_a_revoked_agent_keeps_its_port(ports: Ports) -> None:
    """Whoever still uses it must not reach another agent."""
    ports.agents = {"acme": agent("acme", revoked=True, port=1081)}
    ports.service.look()
    assert ports.reactor.owners() == {1081: "agent acme"}


@pytest.mark.parametrize("slowly", [False, True])
def test_a_port_that_changes_hands_is_closed_first(ports: Ports, slowly: bool) -> None:
    ports.reactor.closes_slowly = slowly
    ports.registered(acme=None, other=1081)
    if slowly:
        assert ports.service.listening() == {}
        ports.reactor.free(1081)
    assert ports.reactor.owners() == {1081: "agent other"}
    assert ports.service.listening() == {1081: "agent other"}


def test_a_port_in_use_is_tried_again_and_disturbs_no_other(ports: Ports) -> None:
    ports.reactor.foreign.add(1082)
    ports.registered(acme=1081, other=1082)
    assert ports.reactor.owners() == {1081: "agent acme"}
    ports.reactor.advance(limits.PORT_RETRY_SECONDS)
    ports.reactor.foreign.clear()
    ports.reactor.advance(limits.PORT_RETRY_SECONDS)
    assert ports.reactor.owners() == {1081: "agent acme", 1082: "agent other"}
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


class TestOfScans:
    """A scan's port works while the scan runs."""

    def test_it_comes_and_goes_with_the_scan(self, ports: Ports) -> None:
        ports.running(e1=1085, e2=1086, implicit=None)
        scan = "scan e1 of agent acme"
        assert ports.reactor.owners() == {1081: "agent acme", 1085: scan, 1086: "scan e2 of agent acme"}
        assert ports.reactor.ports[1085].factory.access == Access(peer="", agent="acme", scan="e1")
        ports.running(e1=1085)
        assert ports.reactor.owners() == {1081: "agent acme", 1085: scan}
        ports.running()
        assert ports.reactor.owners() == {1081: "agent acme"}

    @pytest.mark.parametrize("slowly", [False, True])
    def test_another_scan_gets_a_listener_of_its_own(self, ports: Ports, slowly: bool) -> None:
        """The one that was stopped must not go on by what its listener lets in."""
        ports.running(e1=1085)
        ports.reactor.closes_slowly = slowly
        ports.running(e2=1085)
        if slowly:
            ports.reactor.free(1085)
        assert ports.reactor.owners()[1085] == "scan e2 of agent acme"

    def test_it_is_told_closed_once_it_is(self, ports: Ports) -> None:
        ports.running(e1=1085)
        ports.reactor.closes_slowly = True
        with logged() as lines:
            ports.running()
            assert lines == []
            ports.reactor.free(1085)
        assert lines == ["port 1085 of scan e1 of agent acme is closed"]

    def test_an_agents_port_is_no_scans(self, ports: Ports) -> None:
        ports.running(e1=1081)
        assert ports.reactor.owners() == {1081: "agent acme"}

    def test_a_port_in_use_is_told_once_in_the_log_and_to_whoever_keeps_the_scan(self, ports: Ports) -> None:
        ports.reactor.foreign.add(1085)
        with logged() as lines:
            ports.running(e1=1085)
            ports.reactor.advance(limits.PORT_RETRY_SECONDS)
            ports.service.look()
        why = "can't be opened: [Errno 98] Address already in use; free it, or start the scan with another"
        assert lines == [f"port 1085 of scan e1 of agent acme {why}"]
        assert ports.troubles == [("e1", f"port 1085 {why}")]
        ports.reactor.foreign.clear()
        ports.reactor.advance(limits.PORT_RETRY_SECONDS)
        assert ports.troubles[1:] == [("e1", None)]
        assert 1085 in ports.reactor.owners()

    def test_what_an_earlier_proxy_told_is_taken_back(self, ports: Ports) -> None:
        ports.running(e1=1085)
        ports.running(e1=1085)
        assert ports.troubles == [("e1", None)]

    def test_a_scan_that_is_over_is_not_tried_again(self, ports: Ports) -> None:
        ports.reactor.foreign.add(1085)
        ports.running(e1=1085)
        ports.running()
        assert not ports.reactor.getDelayedCalls()
