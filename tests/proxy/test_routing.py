"""proxy.routing: which Agent is asked, what waits for it, and for how long; time by a Clock, carriers of the tests'."""

from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.proxy.access import Access, Grant
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.live import LiveStreams
from socksfusion.proxy.opening import Associated, Opened
from socksfusion.proxy.routing import Router
from socksfusion.proxy.visit import Visit
from socksfusion.refusals import Refusals
from socksfusion.registry.schema import Scan
from socksfusion.wire.control_messages import MINOR, NARROW, PROTOCOL, UDP, Hello
from socksfusion.wire.messages import HeadReader, encode
from socksfusion.wire.requests import AssociateReply, AssociateRequest, ConnectReply, ConnectRequest
from socksfusion.wire.socks5 import Reply
from tests.proxy.accounts import Registered, access, digest


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

    def when_lost(self, watcher: Any) -> None:
        pass

    def put_back(self, data: bytes) -> None:
        pass


@dataclass
class Carrier:
    """Gives streams at once, lets them wait, or is about to end."""

    state: str = "open"
    streams: list[Stream] = field(default_factory=list)
    waiting: list[Any] = field(default_factory=list)
    users: list[str] = field(default_factory=list)

    def open_stream(self, opened: Any, user: str) -> None:
        self.users.append(user)
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
    def __init__(self, agent: str, carrier: Carrier, features: tuple[str, ...]) -> None:
        self.agent = agent
        self.carrier = carrier
        self.hello = Hello(PROTOCOL, MINOR, "test/1", list(features), "id")


class Record:
    """What a scan is told of its opens."""

    def __init__(self, name: str, agent: str) -> None:
        self.scan = Scan(name, agent, 0, None, 0)
        self.results: list[tuple[str, int, Reply, str]] = []
        self.opened: list[tuple[str, int, str, int]] = []
        self.left: list[tuple[str, int, str]] = []

    def result(self, access: Access, host: str, port: int, reply: Reply, detail: str) -> None:
        self.results.append((host, port, reply, detail))

    def not_tested(self, host: str, port: int, why: str) -> None:
        self.left.append((host, port, why))

    def stream_opened(self, host: str, port: int, stream: Any, source: str, early: int = 0) -> None:
        self.opened.append((host, port, source, early))


class FakeScans:
    def __init__(self) -> None:
        self.running: dict[str, Record] = {}

    def find(self, grant: Grant) -> Record | None:
        return self.running.get(grant.scan or grant.agent)

    def begin(self, grant: Grant) -> Record:
        name = grant.scan or grant.agent
        return self.running.setdefault(name, Record(name, grant.agent))

    def run(self, agent: str) -> Record:
        return self.begin(Grant(agent, None, None, (), 10, 20))


class Routing:
    """A router with the registry, agents and scans that a test says."""

    def __init__(self, **of_the_accounts: Any) -> None:
        self.clock = Clock()
        self.connected = ConnectedAgents()
        self.scans = FakeScans()
        self.registered = Registered("a")
        self.refusals = Refusals(self.clock.seconds)
        scanned = lambda: (record.scan.agent for record in self.scans.running.values())  # noqa: E731
        accounts = self.registered.accounts(scanned=scanned, **of_the_accounts)
        self.live = LiveStreams(self.clock, accounts)
        fakes: Any = self.scans
        self.seen: list[str] = []
        self.router = Router(
            self.clock, accounts, self.connected, fakes, self.live, self.refusals, self.seen.append, ids=repeat("")
        )

    def arrive(self, agent: str = "a", state: str = "open", features: tuple[str, ...] = (UDP, NARROW)) -> Carrier:
        carrier = Carrier(state)
        self.connected.add(cast(Visit, FakeVisit(agent, carrier, features)))
        return carrier

    def leave(self, agent: str = "a") -> None:
        visit = self.connected.get(agent)
        assert visit is not None
        self.connected.remove(visit)

    def open(self, by: Access | None = None, port: int = 80) -> "Deferred[Opened]":
        return self.router.open("192.0.2.1", port, by or access())


def replied(opening: "Deferred[Opened]") -> Opened | None:
    result = getattr(opening, "result", None)
    assert result is None or isinstance(result, Opened)
    return result


def outcome_of(opening: "Deferred[Opened]") -> tuple[Reply, str]:
    outcome = replied(opening)
    assert outcome is not None
    return outcome.reply, outcome.detail


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
    assert carrier.streams[0].written == encode(ConnectRequest("192.0.2.1", 80, 60, "a"))
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
    routing.scans.run("a")
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
    routing.scans.run("a")
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
    routing.registered.agent("b")
    routing.arrive("b")
    reply, detail = outcome_of(routing.open())
    assert reply is Reply.GENERAL_FAILURE
    assert detail.startswith("2 agents are registered and this port is nobody's own")


def test_scan_of_a_revoked_agent_keeps_the_shared_port_from_another(routing: Routing) -> None:
    """Whoever scans through A on the shared port must not find itself in B's network."""
    routing.scans.run("a")
    routing.registered.agent("a", revoked=True)
    routing.registered.agent("b")
    carrier = routing.arrive("b")
    assert outcome_of(routing.open())[0] is Reply.GENERAL_FAILURE
    assert not carrier.streams
    routing.scans.running.clear()
    routing.open()
    assert len(carrier.streams) == 1


# -- rights ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def alices(routing: Routing) -> Access:
    """The access of a client of agent a, who is registered beside b."""
    routing.registered.agent("b")
    routing.registered.client("alice", "a")
    return access(agent="a", client="alice", token=digest("alice-token"))


def test_f1_rights_are_judged_at_every_open(routing: Routing, alices: Access) -> None:
    carrier = routing.arrive()
    routing.open(alices)
    assert len(carrier.streams) == 1
    routing.registered.client("alice", "b")
    assert outcome_of(routing.open(alices)) == (Reply.NOT_ALLOWED, "client alice may not use agent a")
    assert len(carrier.streams) == 1
    assert routing.refusals.counts["denied-rights"] == 1


@pytest.mark.parametrize("waits_for", ["agent", "stream"])
def test_f1_rights_are_judged_again_after_a_wait(routing: Routing, alices: Access, waits_for: str) -> None:
    carrier = routing.arrive(state="full")
    routing.scans.run("a")
    if waits_for == "agent":
        routing.leave()
    opening = routing.open(alices)
    routing.registered.client("alice", "a", revoked=True)
    if waits_for == "agent":
        carrier = routing.arrive()
    else:
        carrier.streams.append(Stream())
        carrier.waiting[0](carrier.streams[0])
    assert outcome_of(opening) == (Reply.NOT_ALLOWED, "client alice is revoked")
    (stream,) = carrier.streams
    assert stream.aborted
    assert stream.written == b""


def test_what_waited_on_the_shared_port_is_not_asked_of_an_agent_that_came_to_have_it(routing: Routing) -> None:
    """Held for A; then A is revoked and its scan forgotten, so that the port leads to B: neither is asked."""
    carrier = routing.arrive(state="full")
    opening = routing.open()
    routing.registered.agent("a", revoked=True)
    routing.registered.agent("b")
    routing.scans.running.clear()
    other = routing.arrive("b")
    carrier.streams.append(Stream())
    carrier.waiting[0](carrier.streams[0])
    assert outcome_of(opening)[0] is Reply.GENERAL_FAILURE
    assert carrier.streams[0].written == b""
    assert other.streams == []


def test_a_dial_under_way_ends_with_its_rights(routing: Routing, alices: Access) -> None:
    carrier = routing.arrive()
    routing.open(alices)
    routing.registered.client("alice", "a", revoked=True)
    routing.live.look()
    assert carrier.streams[0].aborted


def test_f1_what_is_held_ends_with_its_rights(routing: Routing, alices: Access) -> None:
    record = routing.scans.run("a")
    opening, other = routing.open(alices), routing.open(access(agent="a"))
    routing.router.look()
    assert replied(opening) is None
    routing.registered.client("alice", "a", revoked=True)
    routing.router.look()
    assert outcome_of(opening) == (Reply.NOT_ALLOWED, "client alice is revoked")
    assert [result[2] for result in record.results] == [Reply.NOT_ALLOWED]
    assert replied(other) is None


def test_paused(routing: Routing) -> None:
    carrier = routing.arrive()
    routing.registered.agent("a", paused=True, paused_until=2_000.0)
    assert outcome_of(routing.open()) == (Reply.NOT_ALLOWED, "agent a is paused by its admin")
    routing.leave()
    assert outcome_of(routing.open())[0] is Reply.NOT_ALLOWED
    routing.registered.now = 2_000.0
    carrier = routing.arrive()
    routing.open()
    assert len(carrier.streams) == 1


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_the_request_says_whose_it_is_and_how_narrow(routing: Routing, alices: Access) -> None:
    routing.registered.client("alice", "a", allow=("192.0.2.0/24",))
    routing.registered.scan("s", "a", connect_timeout=3.0)
    carrier = routing.arrive()
    routing.open(alices._replace(scan="s"))
    expected = ConnectRequest("192.0.2.1", 80, 3.0, "s", "alice", ("192.0.2.0/24",))
    assert carrier.streams[0].written == encode(expected)
    assert carrier.users == ["alice"]
    assert routing.seen == ["alice"]


def test_an_agent_too_old_to_narrow_is_not_asked_rather_than_widened(routing: Routing, alices: Access) -> None:
    routing.registered.client("alice", "a", allow=("192.0.2.0/24",))
    carrier = routing.arrive(features=(UDP,))
    reply, detail = outcome_of(routing.open(alices))
    assert reply is Reply.GENERAL_FAILURE
    assert "too old to narrow" in detail
    assert carrier.streams == []


def test_a_scans_record_hears_of_every_end(routing: Routing) -> None:
    record = routing.scans.run("a")
    carrier = routing.arrive()
    routing.open()
    routing.open(port=81)
    carrier.streams[0].protocol.dataReceived(encode(ConnectReply(0, "198.51.100.7", 4, "")) + b"banner")
    carrier.streams[1].protocol.dataReceived(encode(ConnectReply(5, "", 0, "refused")))
    routing.leave()
    routing.open(port=82)
    routing.clock.advance(limits.HOLD_SECONDS)
    assert record.results == [
        ("192.0.2.1", 80, Reply.SUCCEEDED, ""),
        ("192.0.2.1", 81, Reply.REFUSED, "refused"),
        ("192.0.2.1", 82, Reply.GENERAL_FAILURE, "agent a did not come back within 20 s"),
    ]
    assert record.opened == [("192.0.2.1", 80, "198.51.100.7", 6)]


@pytest.mark.parametrize("waits_for", ["agent", "stream", "answer"])
def test_a_client_that_does_not_wait_leaves_its_target_untested(routing: Routing, waits_for: str) -> None:
    """It may call it filtered, while the dial only waited for its turn."""
    record = routing.scans.run("a")
    routing.arrive(state="full" if waits_for == "stream" else "open")
    if waits_for == "agent":
        routing.leave()
    opening = routing.open()
    opening.addErrback(lambda _: None)
    opening.cancel()
    until = "answered" if waits_for == "answer" else "could be asked"
    assert record.left == [("192.0.2.1", 80, f"its client went away before agent a {until}")]
    assert record.results == []


def test_what_waits_when_the_proxy_is_stopped_is_answered_and_recorded(routing: Routing) -> None:
    record = routing.scans.run("a")
    carrier = routing.arrive()
    routing.leave()
    held, later = routing.open(), routing.open(port=81)
    routing.router.stopService()
    in_the_end = routing.open(port=82)
    for opening in (held, later, in_the_end):
        assert outcome_of(opening) == (Reply.GENERAL_FAILURE, "the Proxy was stopped")
    assert [port for _, port, *_ in record.results] == [80, 81, 82]
    assert carrier.streams == []
    assert not routing.clock.getDelayedCalls()


def test_a_scans_own_hold(routing: Routing) -> None:
    routing.registered.scan("s", "a", hold=0.0)
    routing.scans.begin(Grant("a", None, "s", (), 10, 0))
    assert outcome_of(routing.open(access(agent="a", scan="s")))[1] == "agent a is not connected"


# -- datagrams ---------------------------------------------------------------------------------------------------------


def test_associate(routing: Routing) -> None:
    carrier = routing.arrive()
    told: list[Associated] = []
    routing.router.associate(access()).addCallback(told.append)
    (stream,) = carrier.streams
    head = HeadReader().receive_data(stream.written)
    assert head == (AssociateRequest(scan="a"), b"")
    stream.protocol.dataReceived(encode(AssociateReply(0, "")))
    (one,) = told
    assert one.reply is Reply.SUCCEEDED
    assert one.stream is cast(Any, stream)
    assert one.record is cast(Any, routing.scans.running["a"])
    assert len(routing.live) == 1


@pytest.mark.parametrize("answer", [ConnectReply(0, "", 0, ""), ConnectRequest("a", 1, 1)])
def test_associate_answered_by_another_message(routing: Routing, answer: Any) -> None:
    carrier = routing.arrive()
    told: list[Associated] = []
    routing.router.associate(access()).addCallback(told.append)
    carrier.streams[0].protocol.dataReceived(encode(answer))
    assert [(one.reply, one.stream) for one in told] == [(Reply.GENERAL_FAILURE, None)]
    assert carrier.streams[0].aborted


def test_associate_with_an_agent_too_old_for_it(routing: Routing) -> None:
    carrier = routing.arrive(features=())
    told: list[Associated] = []
    routing.router.associate(access()).addCallback(told.append)
    assert [one.reply for one in told] == [Reply.COMMAND_NOT_SUPPORTED]
    assert carrier.streams == []
