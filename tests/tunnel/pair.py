"""Two real carriers with real TLS over a pipe in memory, and protocols that write down what they hear."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion.refusals import Refusals
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.yamux.session import Session
from tests.tunnel.certificates import agent_side, proxy_side
from tests.tunnel.pipe import pass_time, pipe, pump


class Recorder(Protocol):
    """Writes down what it hears, in order: bytes, "end", and the reason of the loss as its type."""

    transport: Any

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.on_data: Callable[[bytes], None] = lambda data: None

    @property
    def data(self) -> bytes:
        return b"".join(item for item in self.heard if isinstance(item, bytes))

    @property
    def lost(self) -> Any:
        """The type of the reason, None while the connection stands."""
        reasons = [item for item in self.heard if isinstance(item, type)]
        assert len(reasons) <= 1, "connectionLost more than once"
        assert not reasons or self.heard[-1] is reasons[0], "heard something after connectionLost"
        return reasons[0] if reasons else None

    @property
    def ends(self) -> list[Any]:
        """What it heard besides data."""
        return [item for item in self.heard if not isinstance(item, bytes)]

    def dataReceived(self, data: bytes) -> None:
        assert data
        self.heard.append(data)
        self.on_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.heard.append(reason.type)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    def readConnectionLost(self) -> None:
        self.heard.append("end")

    def writeConnectionLost(self) -> None:
        raise AssertionError("documented as never called")


class Owner:
    """Of one carrier: gives its streams protocols, writes down what happens."""

    def __init__(self, protocol: Callable[[], IProtocol] = HalfCloseable) -> None:
        self.protocol = protocol
        self.protocols: list[Any] = []
        self.handshakes = 0
        self.losses: list[str] = []
        self.on_handshake: Callable[[Carrier], None] = lambda carrier: None

    def handshaken(self, carrier: Carrier) -> None:
        self.handshakes += 1
        self.on_handshake(carrier)

    def stream_opened(self, carrier: Carrier, peer: str) -> IProtocol:
        self.protocols.append(self.protocol())
        made: IProtocol = self.protocols[-1]
        return made

    def lost(self, carrier: Carrier, why: str) -> None:
        self.losses.append(why)


class Pair:
    """A Proxy's and an Agent's carrier. The Proxy opens the streams. ``piece`` bytes at most move at once."""

    def __init__(
        self,
        *,
        proxy_context: SSL.Context | None = None,
        agent_context: SSL.Context | None = None,
        protocol: Callable[[], IProtocol] = HalfCloseable,
        piece: int = 1 << 20,
        capacity: int = 1 << 20,
        connect: bool = True,
        **session: Any,
    ) -> None:
        self.clock = Clock()
        self.piece = piece
        self.proxy_owner, self.agent_owner = Owner(), Owner(protocol)
        self.refusals = Refusals(self.clock.seconds)

        def proxy_session(now: float) -> Session:
            return Session(client=True, now=now, accept_streams=False, **session)

        def agent_session(now: float) -> Session:
            return Session(client=False, now=now, **session)

        self.agent = Carrier(
            self.clock,
            agent_context or agent_side(),
            self.agent_owner,
            agent_session,
            self.refusals,
            server=False,
            server_name="proxy.example.org",
        )
        self.proxy = Carrier(
            self.clock,
            proxy_context or proxy_side(),
            self.proxy_owner,
            proxy_session,
            self.refusals,
            server=True,
        )
        self.agent_end, self.proxy_end = pipe(self.clock, capacity=capacity)
        self.agent_end.protocol, self.proxy_end.protocol = self.agent, self.proxy
        if connect:
            self.connect()

    def connect(self) -> None:
        self.proxy.makeConnection(self.proxy_end)  # type: ignore[no-untyped-call]
        self.agent.makeConnection(self.agent_end)  # type: ignore[no-untyped-call]
        self.pump()

    def pump(self) -> None:
        pump(self.clock, self.agent_end, self.proxy_end, piece=self.piece)

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        pass_time(self.clock, seconds, self.agent_end, self.proxy_end, step=step)

    def stall(self) -> None:
        """The network between the two takes nothing any more."""
        self.agent_end.stalled = self.proxy_end.stalled = True

    def flow(self) -> None:
        self.agent_end.stalled = self.proxy_end.stalled = False

    def start(self, protocol: Any = None) -> StreamTransport:
        """Open a stream from the Proxy, with a recorder or ``protocol`` on it; its first flight has not left yet."""
        opened: list[StreamTransport | None] = []
        self.proxy.open_stream(opened.append)
        (transport,) = opened
        assert transport is not None
        protocol = protocol or HalfCloseable()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def open(self, protocol: Any = None) -> tuple[Any, Any]:
        """Open a stream; the protocols of its two ends, the Proxy's first."""
        here = self.start(protocol).protocol
        self.proxy.flush_soon()
        self.pump()
        return here, self.agent_owner.protocols[-1]


@contextmanager
def logged_failures() -> Iterator[list[Failure]]:
    """The failures that are logged meanwhile."""
    failures: list[Failure] = []

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        if "log_failure" in event:
            failures.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    try:
        yield failures
    finally:
        globalLogPublisher.removeObserver(observe)
