"""proxy.routing: which Agent is asked, what waits for it, and for how long; time by a Clock, carriers of the tests'."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.opening import Opened
from socksfusion.proxy.routing import Router
from socksfusion.proxy.visit import Visit
from socksfusion.refusals import Refusals
from socksfusion.registry.schema import Scan, Snapshot
from socksfusion.wire.messages import ConnectReply, ConnectRequest, encode
from socksfusion.wire.socks5 import Reply
from tests.proxy.gatehouse import agent


class Stream:
    """What a router's opening does with its stream."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abortConnection(self) -> None:
        self.aborted = True

    def loseConnection(self) -> None:
        pass


@dataclass
class Carrier:
    """Gives streams at once, lets them wait, or is about to end."""

    state: str = "open"
    streams: list[Stream] = field(default_factory=list)
    waiting: list[Any] = field(default_factory=list)

    def open_stream(self, opened: Any) -> None:
        if self.state == "closing":
            opened(None)
        elif self.state == "full":
            self.waiting.append(opened)
        else:
            self.streams.append(Stream())
            opened(self.streams[-1])

    def withdraw(self, opened: Any) -> None:
        self.waiting.remove(opened)


class FakeVisit:
    def __init__(self, agent: str, carrier: Carrier | None = None) -> None:
        self.agent = agent
        self.carrier = carrier or Carrier()


class FakeScans:
    def __init__(self) -> None:
        self.running: list[str] = []

    def of(self, agent: str) -> str | None:
        return agent if agent in self.running else None

    def all(self) -> list[Scan]:
        return [Scan(agent, agent, 0, None, 0) for agent in self.running]

    def touch(self, agent: str) -> None:
        if agent not in self.running:
            self.running.append(agent)


class Routing:
    """A router with the registry, agents and scans that a test says."""

    def __init__(self, **of_the_router: float) -> None:
        self.clock = Clock()
        self.connected = ConnectedAgents()
        self.scans = FakeScans()
        self.registered: dict[str, bool] = {"a": False}
        self.refusals = Refusals(self.clock.seconds)
        fakes: Any = self.scans
        self.router = Router(self.clock, self._snapshot, self.connected, fakes, self.refusals, **of_the_router)

    def _snapshot(self) -> Snapshot:
        agents = {name: agent(name, revoked=revoked) for name, revoked in self.registered.items()}
        return Snapshot(agents, {}, {})

    def arrive(self, agent: str = "a", state: str = "open") -> Carrier:
        carrier = Carrier(state)
        self.connected.add(cast(Visit, FakeVisit(agent, carrier)))
        return carrier

    def leave(self, agent: str = "a") -> None:
        visit = self.connected.get(agent)
        assert visit is not None
        self.connected.remove(visit)

    def open(self, agent: str | None = None) -> "Deferred[Opened]":
        return self.router.open("192.0.2.1", 80, agent, "127.0.0.1:9")


def replied(opening: "Deferred[Opened]") -> Opened | None:
    result = getattr(opening, "result", None)
    assert result is None or isinstance(result, Opened)
    return result


@pytest.fixture
def routing() -> Routing:
    return Routing()


@pytest.mark.parametrize("code", [9, 250])
def test_e4_code_that_socks_does_not_know_is_not_tested(routing: Routing, code: int) -> None:
    carrier = routing.arrive()
    opening = routing.open()
    carrier.streams[0].protocol.dataReceived(encode(ConnectReply(code, "", 0, "")))
    assert replied(opening) == Opened(Reply.GENERAL_FAILURE)


def test_e4_mute_agent(routing: Routing) -> None:
    """It is given its own limits and a margin; then the Client is answered, and the stream is reset."""
    carrier = routing.arrive()
    opening = routing.open()
    bound = limits.DIAL_WAIT_SECONDS + limits.CONNECT_SECONDS + limits.ANSWER_MARGIN_SECONDS
    routing.clock.advance(bound - 0.1)
    assert replied(opening) is None
    routing.clock.advance(0.2)
    outcome = replied(opening)
    assert outcome is not None
    assert outcome.reply is Reply.GENERAL_FAILURE
    assert carrier.streams[0].aborted
    assert not routing.clock.getDelayedCalls()


def test_e4_a_longer_connect_timeout_is_asked_for_and_waited_for() -> None:
    routing = Routing(connect_seconds=60)
    carrier = routing.arrive()
    opening = routing.open()
    assert carrier.streams[0].written == encode(ConnectRequest("192.0.2.1", 80, 60))
    routing.clock.advance(limits.DIAL_WAIT_SECONDS + 60 + limits.ANSWER_MARGIN_SECONDS - 0.1)
    assert replied(opening) is None
    routing.clock.advance(0.2)
    assert replied(opening) is not None


def test_e4_agent_that_acknowledges_nothing(routing: Routing) -> None:
    """What waits for a stream is answered in the same time, and uses no stream once it gets one."""
    carrier = routing.arrive(state="full")
    opening = routing.open()
    routing.clock.advance(limits.DIAL_WAIT_SECONDS + limits.CONNECT_SECONDS + limits.ANSWER_MARGIN_SECONDS + 0.1)
    outcome = replied(opening)
    assert outcome is not None
    assert outcome.reply is Reply.GENERAL_FAILURE
    assert carrier.waiting == []


def test_carrier_about_to_end_holds_its_opens(routing: Routing) -> None:
    """Between the end of a session and that of its connection the agent still counts as connected."""
    routing.arrive(state="closing")
    opening = routing.open()
    assert replied(opening) is None
    routing.leave()
    back = routing.arrive()
    assert len(back.streams) == 1
    assert replied(opening) is None
    assert len(routing.clock.getDelayedCalls()) == 1


def test_what_waited_on_a_ghost_goes_to_the_one_that_replaced_it(routing: Routing) -> None:
    ghost = routing.arrive(state="full")
    routing.open()
    routing.leave()
    back = routing.arrive()
    ghost.waiting[0](None)  # its connection is reported lost afterwards
    assert len(back.streams) == 1


def test_hold_is_over(routing: Routing) -> None:
    routing.scans.touch("a")
    opening = routing.open()
    routing.clock.advance(limits.HOLD_SECONDS)
    outcome = replied(opening)
    assert outcome is not None
    assert outcome.reply is Reply.GENERAL_FAILURE
    assert outcome.detail == "agent a did not come back within 20 s"


def test_no_scan_no_hold(routing: Routing) -> None:
    outcome = replied(routing.open())
    assert outcome is not None
    assert outcome.detail == "agent a is not connected"


def test_held_opens_are_bounded_and_those_of_clients_that_went_do_not_count(
    routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HELD_OPENS", 16)
    routing.scans.touch("a")
    held = [routing.open() for _ in range(limits.HELD_OPENS)]
    outcome = replied(routing.open())
    assert outcome is not None
    assert outcome.reply is Reply.GENERAL_FAILURE
    held[0].addErrback(lambda _: None)
    held[0].cancel()
    in_its_place = routing.open()
    assert replied(in_its_place) is None
    carrier = routing.arrive()
    assert len(carrier.streams) == limits.HELD_OPENS


def test_shared_port_with_two_agents(routing: Routing) -> None:
    routing.registered = {"a": False, "b": False}
    routing.arrive("b")
    outcome = replied(routing.open())
    assert outcome is not None
    assert outcome.reply is Reply.GENERAL_FAILURE
    assert outcome.detail.startswith("2 agents are registered and this port is nobody's own")


def test_scan_of_a_revoked_agent_keeps_the_shared_port_from_another(routing: Routing) -> None:
    """Whoever scans through A on the shared port must not find itself in B's network."""
    routing.scans.touch("a")
    routing.registered = {"a": True, "b": False}
    carrier = routing.arrive("b")
    outcome = replied(routing.open())
    assert outcome is not None
    assert outcome.reply is Reply.GENERAL_FAILURE
    assert not carrier.streams
    routing.scans.running.clear()
    routing.open()
    assert len(carrier.streams) == 1
