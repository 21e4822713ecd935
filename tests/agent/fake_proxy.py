"""A Proxy that the test plays, over real carriers, and a Connector that dials it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from OpenSSL import SSL
from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion.agent.backoff import Backoff
from socksfusion.agent.call import CallFactory
from socksfusion.agent.connector import Connector
from socksfusion.agent.messages import Messages
from socksfusion.agent.ways import Way
from socksfusion.refusals import Refusals
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.control import ControlProtocol
from socksfusion.tunnel.liveness import Liveness
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.control_messages import MINOR, PROTOCOL, Hello, Refused, Welcome
from socksfusion.wire.messages import Message
from socksfusion.wire.yamux.session import Session
from tests.tunnel.certificates import HOST, agent_copy, agent_side, proxy_side
from tests.tunnel.pair import HalfCloseable
from tests.tunnel.pipe import End, pass_time, pipe, pump
from tests.tunnel.stream_opening import open_stream


class ProxySide:
    """One carrier at the Proxy. It says hello by itself, and the rest when the test wants it."""

    def __init__(self, clock: Clock, context: SSL.Context, protocol: int | None) -> None:
        self.received: list[Message] = []
        self.failed: list[str] = []
        self.lost_why: str | None = None
        self._protocol = protocol
        self.carrier = Carrier(
            clock,
            context,
            self,
            lambda now: Session(client=True, now=now, accept_streams=False),
            Refusals(clock.seconds),
            server=True,
        )
        self.control = ControlProtocol(self.received.append, self.failed.append, lambda: None)
        self.agent_end, self.end = pipe(clock)
        self.end.protocol = self.carrier

    def handshaken(self, carrier: Carrier) -> None:
        carrier.open_stream(self._opened)

    def stream_opened(self, carrier: Carrier, peer: str) -> Any:
        raise AssertionError

    def lost(self, carrier: Carrier, why: str) -> None:
        self.lost_why = why

    def _opened(self, transport: StreamTransport | None) -> None:
        assert transport is not None
        transport.protocol = self.control
        self.control.makeConnection(transport)  # type: ignore[no-untyped-call]
        if self._protocol is not None:
            self.say_hello()

    def say_hello(self) -> None:
        self.control.send(
            Hello(protocol=self._protocol or PROTOCOL, minor=MINOR, program="proxy/1", features=[], program_id="p")
        )

    def welcome(self) -> None:
        self.control.send(Welcome(agent="acme", heartbeat=60.0))

    def refuse(self, reason: Any) -> None:
        self.control.send(Refused(reason=reason, detail="for a test"))
        self.carrier.refuse("for a test", keep=self.control.transport)

    def open(self) -> HalfCloseable:
        """A Client's stream."""
        return open_stream(self.carrier)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Dials that the test ends."""

    def __init__(self) -> None:
        self.dials: list[tuple[Any, Deferred[Any]]] = []
        self.cancelled = 0

    def connect(self, factory: Any) -> "Deferred[Any]":
        def cancel(dial: "Deferred[Any]") -> None:
            self.cancelled += 1
            # as HostnameEndpoint ends
            dial.errback(ConnectingCancelledError(HostnameAddress(HOST.encode(), 443)))

        self.dials.append((factory, Deferred(cancel)))
        return self.dials[-1][1]


class World:
    """A Connector, its endpoint, and every Proxy's side that it has reached; ``others`` are more ways than one."""

    def __init__(
        self,
        *,
        host: str = HOST,
        others: Sequence[str] = (),
        context: SSL.Context | None = None,
        uniform: Callable[[float, float], float] = lambda low, high: high,
        leaves: Sequence[str] = ("replaced",),
    ) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.lines: list[str] = []
        self.left: list[str] = []
        self.targets: list[HalfCloseable] = []
        self.sides: list[ProxySide] = []
        self.liveness = Liveness(self.clock, suspended=lambda: 0.0)
        self.messages = Messages(lambda line: self.lines.append(line.rstrip("\n").partition(" ")[2]))
        self.calls = CallFactory(
            self.clock,
            host,
            context or agent_side(),
            lambda now: Session(client=False, now=now),
            Refusals(self.clock.seconds),
            self.messages,
            self._build_target,
        )
        self.connector = Connector(
            self.clock,
            [Way(name, f"{name}:443", self.endpoint) for name in (host, *others)],
            self.calls,
            agent_copy(),
            self.messages,
            self.liveness,
            {reason: partial(self.left.append, reason) for reason in leaves},
            backoff=Backoff(uniform=uniform),
        )

    def _build_target(self, peer: str) -> HalfCloseable:
        self.targets.append(HalfCloseable())
        return self.targets[-1]

    @property
    def dials(self) -> int:
        return len(self.endpoint.dials)

    def accept(self, *, context: SSL.Context | None = None, protocol: int | None = PROTOCOL) -> ProxySide:
        """The last dial reaches a Proxy; ``protocol`` None keeps back its hello."""
        side = ProxySide(self.clock, context or proxy_side(), protocol)
        factory, connected = self.endpoint.dials[-1]
        carrier = factory.buildProtocol(None)
        side.agent_end.protocol = carrier
        self.sides.append(side)
        side.carrier.makeConnection(side.end)  # type: ignore[no-untyped-call]
        carrier.makeConnection(side.agent_end)
        connected.callback(carrier)
        self.pump()
        return side

    def serve(self) -> ProxySide:
        side = self.accept()
        side.welcome()
        self.pump()
        return side

    def fail(self, cause: Exception) -> None:
        self.endpoint.dials[-1][1].errback(Failure(cause))

    @property
    def ends(self) -> list[End]:
        return [end for side in self.sides for end in (side.agent_end, side.end)]

    def pump(self) -> None:
        pump(self.clock, *self.ends)

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        pass_time(self.clock, seconds, *self.ends, step=step)
