"""A network that a test plays by hand: attempts to connect are recorded, and the test says how each of them ends."""

import os
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

AGENT = IPv4Address("TCP", "192.0.2.9", 50_000)


class TargetTransport(StringTransport):
    """A connected transport that remembers how it was ended."""

    protocol: Any = None
    aborted = False
    prepared = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()  # type: ignore[no-untyped-call]


class FakeNetwork:
    """``reactor`` for the code under test, and the ends of its attempts, counted from 0 in the order they started."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()

    @property
    def dialled(self) -> list[tuple[str, int]]:
        """Host and port of every attempt."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    @property
    def hosts(self) -> list[str]:
        """The same without ports."""
        return [host for host, _ in self.dialled]

    def limit(self, attempt: int) -> float:
        """Seconds that the attempt may take."""
        return float(self.reactor.tcpClients[attempt][3])

    def cancelled(self, attempt: int) -> bool:
        return bool(self.reactor.connectors[attempt].stoppedConnecting)

    def accept(self, attempt: int, host: IPv4Address = AGENT) -> TargetTransport:
        address, port, factory, *_ = self.reactor.tcpClients[attempt]
        peer = IPv4Address("TCP", address, port)
        transport = TargetTransport(hostAddress=host, peerAddress=peer)  # type: ignore[no-untyped-call]
        transport.protocol = factory.buildProtocol(peer)
        transport.protocol.makeConnection(transport)
        return transport

    def fail(self, attempt: int, number: int) -> None:
        """End an attempt with an errno, as Twisted reports it."""
        self.end(attempt, error.getConnectError((number, os.strerror(number))))

    def time_out(self, attempt: int) -> None:
        self.end(attempt, error.TimeoutError())

    def end(self, attempt: int, cause: Any) -> None:
        """End an attempt with an exception."""
        factory = self.reactor.tcpClients[attempt][2]
        factory.clientConnectionFailed(self.reactor.connectors[attempt], Failure(cause))
