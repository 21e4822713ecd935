"""A TCP connection in memory: two transports that treat their protocols as the reactor's do, moved by hand.

Unlike ``twisted.test.iosim``'s, they honour pause and resume, producers, half-close and abort, deliver in pieces of any
size, and can be stalled. What is written lies in the writer's own buffer, then in the "kernel" of the reader, which
takes ``capacity`` bytes.
"""

from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.internet.task import Clock
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITransport, IConsumer, IPushProducer)
class End:
    """One end of the connection; see ``twisted.internet.abstract.FileDescriptor`` for what it imitates."""

    bufferSize = 64 * 1024

    def __init__(self, clock: Clock, host: IPv4Address, peer_address: IPv4Address, capacity: int) -> None:
        self.reactor = clock
        self.protocol: Any = None
        self.connected = True
        self.disconnecting = False
        self.aborted = False
        self.stalled = False
        """Whether the way from here to the peer takes nothing."""
        self.reading = True
        self.no_delay = False
        self.writes = 0
        self.producer: Any = None
        self.peer: End
        self._host, self._peer_address, self._capacity = host, peer_address, capacity
        self._out = bytearray()
        self._inbox = bytearray()
        self._streaming = True
        self._producer_paused = False
        self._half_closing = self._half_closed = False
        self._fin = self._rst = False

    # -- ITransport and more of ITCPTransport --

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if not self.connected or self._half_closed:
            return
        self.writes += 1
        self._out += data
        if self.producer is not None and self._streaming and len(self._out) > self.bufferSize:
            self._producer_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self.connected or self.disconnecting:
            return
        self.reading = False
        if self._half_closed:
            self.lose(Failure(error.ConnectionDone()))
        else:
            self.disconnecting = True

    def loseWriteConnection(self) -> None:
        self._half_closing = True

    def abortConnection(self) -> None:
        if not self.connected or self.aborted:
            return
        self.aborted = True
        self.reading = False
        self._out.clear()
        self.reactor.callLater(0, self.lose, Failure(error.ConnectionAborted()))

    def getHost(self) -> IPv4Address:
        return self._host

    def getPeer(self) -> IPv4Address:
        return self._peer_address

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        self.producer, self._streaming = producer, streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()

    # -- what the test does --

    @property
    def unsent(self) -> int:
        """Bytes that the peer's reader has not got."""
        return len(self._out) + len(self.peer._inbox)

    @property
    def was_reset(self) -> bool:
        """Whether RST has come; who doesn't read and has nothing to write does not notice."""
        return self._rst

    def move(self, limit: int) -> bool:
        """What the reactor would do next for this end; tells whether there was anything."""
        if not self.connected or self.aborted:
            return False
        return self._send(limit) | self._receive(limit)

    def lose(self, reason: Failure) -> None:
        """The connection is lost, for this end."""
        if not self.connected:
            return
        self.connected = self.reading = False
        self.disconnecting = True
        if reason.check(error.ConnectionDone) and not self._inbox:
            self.peer._fin = True
        else:
            self.peer._rst = True
        self._out.clear()
        self._inbox.clear()
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(reason)

    def _send(self, limit: int) -> bool:
        if not self.peer.connected and self._out:
            self.lose(Failure(error.ConnectionLost()))
            return True
        if self.stalled:
            return False
        size = min(limit, len(self._out), self._capacity - len(self.peer._inbox))
        if self._out and size <= 0:
            return False
        moved = bytes(self._out[:size])
        del self._out[:size]
        self.peer._inbox += moved
        if self._out:
            return True
        if self.producer is not None and self._streaming and self._producer_paused:
            self._producer_paused = False
            self.producer.resumeProducing()
        elif self.producer is not None and not self._streaming:
            self.producer.resumeProducing()
        elif self.disconnecting:
            self.lose(Failure(error.ConnectionDone()))
        elif self._half_closing and not self._half_closed:
            self._half_closed = True
            self.peer._fin = True
            if IHalfCloseableProtocol.providedBy(self.protocol):
                self.protocol.writeConnectionLost()
        else:
            return bool(moved)
        return True

    def _receive(self, limit: int) -> bool:
        if not self.connected:
            return False
        if self.reading and self._inbox:
            data = bytes(self._inbox[: min(limit, self.bufferSize)])
            del self._inbox[: len(data)]
            self._call(self.protocol.dataReceived, data)
        elif self._rst and (self.reading or self._out):
            self.lose(Failure(error.ConnectionLost()))
        elif self.reading and self._fin:
            self.reading = False
            if IHalfCloseableProtocol.providedBy(self.protocol):
                self._call(self.protocol.readConnectionLost)
            else:
                self.lose(Failure(error.ConnectionDone()))
        else:
            return False
        return True

    def _call(self, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception:
            failure = Failure()
            log.err(failure)
            self.lose(failure)


def pipe(clock: Clock, *, capacity: int = 1 << 20, client: str = "198.51.100.7") -> tuple[End, End]:
    """Both ends of a connection from ``client`` to a server."""
    here, there = IPv4Address("TCP", client, 40_000), IPv4Address("TCP", "192.0.2.1", 443)
    ends = End(clock, here, there, capacity), End(clock, there, here, capacity)
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    return ends


def pump(clock: Clock, *ends: End, piece: int = 1 << 20) -> None:
    """Let everything happen that can happen at this moment; ``piece`` bytes at most move at once."""
    moved = True
    while moved:
        clock.advance(0)
        moved = False
        for end in ends:
            moved |= end.move(piece)


def pass_time(clock: Clock, seconds: float, *ends: End, step: float = 0.25) -> None:
    """Let ``seconds`` pass in steps, and everything happen in each."""
    left = seconds
    while left > 1e-9:
        length = min(step, left)
        clock.advance(length)
        pump(clock, *ends)
        left -= length
