"""A yamux stream as an honest Twisted transport: any stock Protocol runs over it.

What the application has taken from a stream goes back to the peer as credit; what it can't take yet (its protocol
paused the transport) waits here, bounded by the receive window. What it writes waits in the yamux stream until the
peer's window and the carrier take it; above ``limits.STREAM_SEND_BYTES`` its producer is paused.
"""

from collections import deque
from typing import Any, Protocol, cast

from attrs import frozen
from twisted.internet import error
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPullProducer,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.wire.yamux.stream import Stream


class CarrierLost(error.ConnectionLost):
    """The carrier under the stream went away: our own end, not one that a Client or Target chose."""


@implementer(IAddress)
@frozen
class StreamAddress:
    """Where a stream's other end is: the carrier's own address and the stream's number."""

    carrier: str
    stream: int


class StreamCarrier(Protocol):
    """What a stream asks of the carrier under it."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def flush_soon(self) -> None:
        """Send what the session has to send, in this turn of the reactor or the next."""

    def call_soon(self, function: Any, *arguments: Any) -> None:
        """Call ``function`` in the reactor's next turn."""

    def stream_finished(self, transport: "StreamTransport") -> None:
        """The transport's protocol has been told that its connection is lost."""


@implementer(ITransport, IConsumer, IPushProducer)
class StreamTransport:
    """One stream, driven by two kinds of sources.

    - its protocol, through Twisted's transport, consumer and producer interfaces;
    - the carrier, through ``data_received``, ``ended``, ``closed``, ``was_reset``, ``carrier_lost`` and ``drained``.

    The protocol hears ``ConnectionDone`` after FIN both ways, ``ConnectionLost`` after the peer's RST,
    ``CarrierLost`` (a ``ConnectionLost``) when the carrier is gone and ``ConnectionAborted`` after its own abort.
    Data that came before any of them is delivered first, unless the protocol aborted.
    """

    __slots__ = (
        "_carrier",
        "_delivering",
        "_eof",
        "_eof_told",
        "_lost",
        "_paused",
        "_peer",
        "_producer",
        "_producer_paused",
        "_stream",
        "_streaming",
        "_unread",
        "bytes_received",
        "bytes_sent",
        "connected",
        "disconnecting",
        "protocol",
        "write_ended",
    )

    def __init__(self, stream: Stream, carrier: StreamCarrier, peer: str) -> None:
        self._stream = stream
        self._carrier = carrier
        self._peer = peer
        self._unread: deque[bytes] = deque()
        self._paused = False
        self._delivering = False
        self._eof = False
        self._eof_told = False
        self._lost: Failure | None = None
        self._producer: Any = None
        self._producer_paused = False
        self._streaming = True
        self.protocol: IProtocol | None = None
        self.connected = True
        self.disconnecting = False
        self.write_ended = False
        self.bytes_received = 0
        self.bytes_sent = 0
        stream.owner = self

    # -- ITransport ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Queue ``data``; nothing happens after the writing side was ended."""
        if self.write_ended or self.disconnecting or self._lost is not None or not data:
            return
        stream = self._stream
        stream.send(data)
        self.bytes_sent += len(data)
        if stream.queued > limits.STREAM_SEND_BYTES and self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            if self._streaming:
                self._producer.pauseProducing()
        self._carrier.flush_soon()

    def writeSequence(self, data: Any) -> None:
        """Queue every piece of ``data``."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Send what is queued (a registered producer ends first), then FIN.

        Later data of the peer's is answered by RST.
        """
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        if self._producer is None:
            self._finish()

    def loseWriteConnection(self) -> None:
        """Send what is queued, then FIN; reading goes on."""
        if self.write_ended or self.disconnecting or not self.connected:
            return
        self.write_ended = True
        self._stream.end()
        self._carrier.flush_soon()

    def abortConnection(self) -> None:
        """RST at once: what is queued in either direction is dropped."""
        self._abort(after_data=False)

    def reset_after_data(self) -> None:
        """RST once everything queued has been sent: how a reset that came from a socket is passed on, in order."""
        self._abort(after_data=True)

    def getPeer(self) -> StreamAddress:
        """The carrier's other end and the stream."""
        return StreamAddress(self._peer, self._stream.id)

    def getHost(self) -> StreamAddress:
        """This end: the stream on the same carrier."""
        return StreamAddress("local", self._stream.id)

    # -- IConsumer -------------------------------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let ``producer`` write here; it is paused while more than ``limits.STREAM_SEND_BYTES`` are queued."""
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self._producer!r} was never unregistered")
        if not self.connected or self._lost is not None:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            self._pull(producer)
        elif self._stream.queued > limits.STREAM_SEND_BYTES:
            self._producer_paused = True
            cast(IPushProducer, producer).pauseProducing()

    def unregisterProducer(self) -> None:
        """The producer has written all it had."""
        self._producer = None
        if self.disconnecting and self.connected and not self.write_ended:
            self._finish()

    # -- IPushProducer: the protocol's brake on what it is given ------------------------------------------------------

    def pauseProducing(self) -> None:
        """Deliver nothing until :meth:`resumeProducing`; the peer runs out of window and stops by itself."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Deliver what waits, then what comes."""
        self._paused = False
        if self._unread or self._eof or self._lost is not None:
            self._deliver()

    def stopProducing(self) -> None:
        """The consumer of our data is gone."""
        self.loseConnection()

    # -- the carrier's side ----------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the protocol has stopped reading."""
        return self._paused

    @property
    def write_paused(self) -> bool:
        """Whether the producer of what we send has been stopped."""
        return self._producer_paused

    @property
    def reset_waiting(self) -> bool:
        """Whether the connection is lost and the protocol has yet to take what came before."""
        return self._lost is not None and self.connected

    @property
    def unread(self) -> int:
        """Bytes received that the protocol has not taken."""
        return sum(map(len, self._unread))

    @property
    def number(self) -> int:
        """The stream's id in its session."""
        return self._stream.id

    def data_received(self, data: bytes) -> None:
        """A piece of the peer's data."""
        self.bytes_received += len(data)
        if self._paused or self._unread or self._delivering:
            self._unread.append(data)
            return
        self._hand_over(data)

    def put_back(self, data: bytes) -> None:
        """Deliver ``data``, whose credit has already been given back, to whoever the protocol is now, before anything
        else.
        """
        if self._paused or self._delivering:
            self._unread.appendleft(data)
            self.bytes_received += len(data)
        elif data:
            cast(IProtocol, self.protocol).dataReceived(data)

    def ended(self) -> None:
        """The peer's FIN."""
        self._eof = True
        self._deliver()

    def closed(self) -> None:
        """FIN has gone both ways."""
        self._lose(Failure(error.ConnectionDone()))

    def was_reset(self) -> None:
        """The peer's RST."""
        self._lose(Failure(error.ConnectionLost("reset by the other end of the tunnel")))

    def cut(self, why: str) -> None:
        """Our side of the session has reset the stream: what is unread is dropped."""
        self._drop_unread()
        self._lose(Failure(error.ConnectionLost(why)))

    def carrier_lost(self, why: str) -> None:
        """The carrier is gone. Where the peer's FIN had come, everything before it is still delivered."""
        if not self._eof:
            self._drop_unread()
        self._lose(Failure(CarrierLost(why)))

    def drained(self) -> None:
        """The send queue has room again."""
        if self._producer_paused and self._producer is not None:
            self._producer_paused = False
            if self._streaming:
                self._producer.resumeProducing()
            else:
                self._pull(self._producer)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _hand_over(self, data: bytes) -> None:
        cast(IProtocol, self.protocol).dataReceived(data)
        self._stream.consumed(len(data), self._carrier.seconds())

    def _deliver(self) -> None:
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._unread and not self._paused:
                self._hand_over(self._unread.popleft())
        finally:
            self._delivering = False
        self._carrier.flush_soon()
        if self._unread or self._paused or not self.connected:
            return
        if self._eof and not self._eof_told:
            self._eof_told = True
            half_closeable = IHalfCloseableProtocol(self.protocol, None)
            if half_closeable is not None:
                half_closeable.readConnectionLost()
            else:
                self.loseConnection()
        if self._lost is not None and self.connected:
            self._tell_lost(self._lost)

    def _lose(self, reason: Failure) -> None:
        if self._lost is None and self.connected:
            self._lost = reason
            self._deliver()

    def _drop_unread(self) -> None:
        self._unread.clear()
        self._paused = False
        self._stream.stop_receiving()

    def _finish(self) -> None:
        self.write_ended = True
        self._drop_unread()
        self._stream.end()
        self._carrier.flush_soon()

    def _abort(self, *, after_data: bool) -> None:
        if not self.connected or self._lost is not None:
            return
        self._drop_unread()
        self._lost = Failure(error.ConnectionAborted())
        self._stream.reset(after_data=after_data)
        self._carrier.flush_soon()
        self._carrier.call_soon(self._tell_lost, self._lost)

    def _tell_lost(self, reason: Failure) -> None:
        if not self.connected:
            return
        self.connected = False
        self.disconnecting = True
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        self._carrier.stream_finished(self)
        cast(IProtocol, self.protocol).connectionLost(reason)

    def _pull(self, producer: IPullProducer) -> None:
        if producer is not self._producer or not self.connected:
            return
        if self._stream.queued > limits.STREAM_SEND_BYTES:
            self._producer_paused = True
            return
        producer.resumeProducing()
        self._carrier.call_soon(self._pull, producer)
