"""A gate with real carriers over pipes in memory, a registry in memory, and Agents that the test plays."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock

from socksfusion.proxy.agents import AgentsFactory
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.gate import AgentGate
from socksfusion.proxy.host_admin import HostAdmin
from socksfusion.refusals import Refusals
from socksfusion.registry.schema import Agent, AgentKey, KeyState, Scan, ScanNotes, Snapshot, Untested
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.control import ControlProtocol
from socksfusion.tunnel.liveness import Liveness
from socksfusion.wire.control_messages import MINOR, PROTOCOL, Hello, Refused, Welcome
from socksfusion.wire.messages import Message
from socksfusion.wire.yamux.session import Session
from tests.tunnel.certificates import agent_issued, agent_side, proxy_side
from tests.tunnel.pair import HalfCloseable
from tests.tunnel.pipe import End, pass_time, pipe, pump


def agent(name: str, *, revoked: bool = False, port: int | None = None) -> Agent:
    return Agent(
        name,
        revoked,
        port,
        proxy=None,
        created=0.0,
        connected=False,
        last_seen=None,
        last_address=None,
        last_version=None,
        last_error=None,
    )


class FakeBook:
    """The registry in memory.

    ``waits`` keeps activations back until ``go_on``; ``late`` is what the next look finds.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot({}, {}, {})
        self.changed: Callable[[], None] = lambda: None
        self.late: Snapshot | None = None
        self.waits = False
        self.fails: Exception | None = None
        self.waiting: list[tuple[bytes, Deferred[Any]]] = []
        self.notes: list[tuple[Any, ...]] = []
        self.before_writing: list[Callable[[], None]] = []
        self.all_changes_written = False
        self.looks = 0

    # -- what the test does --

    def register(self, name: str, *digests: bytes, states: tuple[KeyState, ...] = ("active",)) -> None:
        """An agent with keys, the oldest first."""
        agents = {**self.snapshot.agents, name: agent(name)}
        keys = dict(self.snapshot.keys)
        for digest, state in zip(digests, states, strict=True):
            keys[digest] = AgentKey(digest, name, state, 0.0)
        self.publish(Snapshot(agents, keys, self.snapshot.scans))

    def revoke(self, name: str, revoked: bool = True) -> None:
        agents = {**self.snapshot.agents, name: replace(self.snapshot.agents[name], revoked=revoked)}
        self.publish(replace(self.snapshot, agents=agents))

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.changed()

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for digest, done in waiting:
            self._take_up(digest)
            done.callback(None)

    # -- GateBook --

    def look(self) -> Deferred[Any]:
        self.looks += 1
        if self.late is not None:
            self.publish(self.late)
        return succeed(None)

    def activate(self, digest: bytes) -> Deferred[Any]:
        if self.fails is not None:
            return fail(self.fails)
        if self.waits:
            self.waiting.append((digest, Deferred()))
            return self.waiting[-1][1]
        self._take_up(digest)
        return succeed(None)

    def _take_up(self, digest: bytes) -> None:
        name = self.snapshot.keys[digest].agent
        keys = dict(self.snapshot.keys)
        for other, key in keys.items():
            if other == digest:
                keys[other] = replace(key, state="active")
                break
            if key.agent == name:
                keys[other] = replace(key, state="retired")
        self.publish(replace(self.snapshot, keys=keys))

    def seen(self, agent: str, address: str, version: str, wall: float) -> None:
        self.notes.append(("seen", agent, address, version, wall))

    def left(self, agent: str, error: str | None, wall: float) -> None:
        self.notes.append(("left", agent, error, wall))

    def trouble(self, agent: str, why: str) -> None:
        self.notes.append(("trouble", agent, why))

    # -- AdminBook --

    def paused(self, agent: str, paused: bool, until: float | None = None) -> None:
        self.notes.append(("paused", agent, paused, until))

    def uninstalled(self, agent: str, uninstalled: bool) -> None:
        self.notes.append(("uninstalled", agent, uninstalled))

    # -- ScanBook --

    def scan_started(self, scan: Scan) -> None:
        self.notes.append(("scan started", scan.id, scan.agent, scan.started))

    def scans_touched(self, scans: dict[str, float]) -> None:
        self.notes.append(("scans touched", scans))

    def scan_ended(self, scan_id: str, ended: float, why: str) -> None:
        self.notes.append(("scan ended", scan_id, ended, why))

    def scan_noted(self, scan_id: str, notes: ScanNotes) -> None:
        self.notes.append(("scan noted", scan_id, notes))

    def scan_left_untested(self, targets: list[Untested]) -> None:
        self.notes.append(("untested", targets))

    def gap_began(self, scan_id: str, at: float) -> None:
        self.notes.append(("gap began", scan_id, at))

    def gap_ended(self, scan_id: str, at: float) -> None:
        self.notes.append(("gap ended", scan_id, at))


class Visitor:
    """An Agent that the test plays: it answers hello by hello, and records."""

    def __init__(self, house: "Gatehouse", key: int, program: str, protocol: int, host: str, number: int) -> None:
        self.received: list[Message] = []
        self.streams: list[HalfCloseable] = []
        self.says_hello = True
        self.features: list[str] = []
        self.control: ControlProtocol | None = None
        self.lost_why: str | None = None
        self._program, self._protocol = program, protocol
        self.carrier = Carrier(
            house.clock,
            agent_side(key, number, 0),
            self,
            lambda now: Session(client=False, now=now),
            Refusals(house.clock.seconds),
            server=False,
        )
        self.end, self.proxy_end = pipe(house.clock, client=host)
        self.end.protocol = self.carrier

    # -- CarrierOwner --

    def handshaken(self, carrier: Carrier) -> None:
        pass

    def stream_opened(self, carrier: Carrier, peer: str) -> IProtocol:
        if self.control is None:
            self.control = ControlProtocol(self._hears, self._fails, lambda: None)
            return self.control
        self.streams.append(HalfCloseable())
        return self.streams[-1]

    def lost(self, carrier: Carrier, why: str) -> None:
        self.lost_why = why

    # -- what it heard --

    @property
    def welcome(self) -> Welcome | None:
        return next((message for message in self.received if isinstance(message, Welcome)), None)

    @property
    def refusal(self) -> str | None:
        return next((message.reason for message in self.received if isinstance(message, Refused)), None)

    def say_hello(self) -> None:
        assert self.control is not None
        self.control.send(
            Hello(
                protocol=self._protocol, minor=MINOR, program="test/1", features=self.features, program_id=self._program
            )
        )

    def vanish(self) -> None:
        """Killed without a FIN: nothing comes from it and nothing reaches it."""
        self.end.stalled = self.proxy_end.stalled = True

    def _hears(self, message: Message) -> None:
        self.received.append(message)
        if isinstance(message, Hello) and self.says_hello:
            self.say_hello()

    def _fails(self, why: str) -> None:
        raise AssertionError(why)


class Gatehouse:
    """The Proxy's side up to the gate; ``come`` brings an Agent to it."""

    def __init__(self, **factory: Any) -> None:
        self.clock = Clock()
        self.wall = 1_000.0
        self.book = FakeBook()
        self.connected = ConnectedAgents()
        self.refusals = Refusals(self.clock.seconds)
        self.liveness = Liveness(self.clock, suspended=lambda: 0.0)
        self.stopped_scans: list[tuple[str, str]] = []
        admin = HostAdmin(self.book, lambda agent, why: self.stopped_scans.append((agent, why)))
        self.gate = AgentGate(self.book, self.connected, self.liveness, self.refusals, admin, wall=lambda: self.wall)
        self.book.changed = self.gate.look
        self.factory = AgentsFactory(
            self.clock,
            proxy_side(),
            self.gate,
            self.refusals,
            lambda now: Session(client=True, now=now, accept_streams=False),
            **factory,
        )
        self.visitors: list[Visitor] = []

    def come(
        self,
        key: int = 0,
        program: str = "first",
        *,
        protocol: int = PROTOCOL,
        host: str = "198.51.100.7",
        number: int = 0,
        says_hello: bool = True,
        features: Sequence[str] = (),
    ) -> Visitor:
        visitor = Visitor(self, key, program, protocol, host, number)
        visitor.says_hello = says_hello
        visitor.features = list(features)
        self.visitors.append(visitor)
        carrier = self.factory.buildProtocol(visitor.proxy_end.getPeer())
        if carrier is None:
            visitor.lost_why = "not taken in"
            return visitor
        visitor.proxy_end.protocol = carrier
        carrier.makeConnection(visitor.proxy_end)  # type: ignore[no-untyped-call]
        visitor.carrier.makeConnection(visitor.end)  # type: ignore[no-untyped-call]
        self.pump()
        return visitor

    @property
    def ends(self) -> list[End]:
        return [end for visitor in self.visitors for end in (visitor.end, visitor.proxy_end) if end.protocol]

    def pump(self) -> None:
        pump(self.clock, *self.ends)

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        pass_time(self.clock, seconds, *self.ends, step=step)

    def serving(self) -> Visitor | None:
        """The visitor that serves as agent acme."""
        visit = self.connected.get("acme")
        carrier = visit.carrier if visit is not None else None
        return next((visitor for visitor in self.visitors if carrier and visitor.proxy_end.protocol is carrier), None)


def digest(key: int = 0, number: int = 0) -> bytes:
    """Of a visitor's key."""
    return agent_issued(key, number).digest
