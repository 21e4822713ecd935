"""A Front for tests: a transport in memory, a router, accounts and a relay of the test's, and a Clock."""

from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion.proxy.access import Access, Grant, WhyNot
from socksfusion.proxy.clients import ClientFactory
from socksfusion.proxy.front import Front
from socksfusion.proxy.guessing import Guessing
from socksfusion.proxy.opening import Opened
from socksfusion.refusals import Refusals

GREETING = b"\x05\x01\x00"
REQUEST = bytes.fromhex("05 01 00 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 01 bb")
ACCEPTED = b"\x05\x00"
NOWHERE = bytes.fromhex("01 00 00 00 00 00 00")
PEER = IPv4Address("TCP", "192.0.2.9", 4000)
STREAM: Any = object()


class ClientTransport(StringTransport):
    """A transport that remembers how it was told to end."""

    bufferSize = 0

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.closed = False
        self.write_ended = False
        self.aborted = False

    def value(self) -> bytes:
        written: bytes = super().value()  # type: ignore[no-untyped-call]
        return written

    def loseConnection(self) -> None:
        if not self.closed:
            self.closed = True
            self.protocol.connectionLost(Failure(error.ConnectionDone()))

    def loseWriteConnection(self) -> None:
        self.write_ended = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.protocol.connectionLost(Failure(error.ConnectionAborted()))


class FakeRouter:
    def __init__(self) -> None:
        self.opens: list[tuple[str, int, Access]] = []
        self.dials: list[Deferred[Opened]] = []
        self.cancelled = 0

    def open(self, host: str, port: int, access: Access) -> "Deferred[Opened]":
        self.opens.append((host, port, access))
        self.dials.append(Deferred(self._cancel))
        return self.dials[-1]

    def _cancel(self, dial: "Deferred[Opened]") -> None:
        self.cancelled += 1


class FakeAccounts:
    """Knows one login: ``branch`` with the password ``right``."""

    required = False
    ambiguous = False

    def login(self, user: bytes, password: bytes, access: Access) -> Access | None:
        return access._replace(agent="branch", token=bytes(32)) if (user, password) == (b"branch", b"right") else None

    def standing(self, access: Access) -> Grant | WhyNot:
        if self.ambiguous and access.agent is None:
            return WhyNot("ambiguous", "2 agents are registered")
        return Grant(access.agent or "only", None, None, (), 10.0, 20.0)


@implementer(IHalfCloseableProtocol)
class RelayEnd(Protocol):
    """What a relay leaves on the Client's transport."""

    ended = False

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None: ...


class Proxy:
    """A Front with everything around it faked."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.router = FakeRouter()
        self.refusals = Refusals(self.clock.seconds)
        self.joined: list[tuple[Any, Any, bytes]] = []
        self.accounts = FakeAccounts()
        self.front = self.make_front()

    def make_front(self, **options: Any) -> Front:
        guessing = Guessing(self.clock, self.refusals)
        return Front(self.clock, self.router, self.accounts, guessing, self.refusals, self.join, **options)

    def join(self, transport: Any, stream: Any, early_data: bytes) -> None:
        self.joined.append((transport, stream, early_data))
        transport.protocol = RelayEnd()

    def connect(self, *sent: bytes, agent: str | None = None, address: IAddress = PEER) -> ClientTransport:
        transport = ClientTransport()
        client = ClientFactory(self.front, Access(peer="", agent=agent)).buildProtocol(address)
        transport.protocol = client
        assert client is not None
        client.makeConnection(transport)
        for data in sent:
            transport.protocol.dataReceived(data)
        return transport

    def watched(self) -> int:
        return len(self.front.incomplete) + len(self.front.lingering)
