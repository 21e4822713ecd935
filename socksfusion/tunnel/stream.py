"""A yamux stream as an honest Twisted transport: any stock Protocol runs over it.

What the application has taken from a stream goes back to the peer as credit; what it can't take yet (its protocol
paused the transport) waits here, bounded by the receive window. What it writes waits in the yamux stream until the
peer's window and the carrier take it; above ``limits.STREAM_SEND_BYTES`` its producer is paused.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from attrs import frozen
from twisted.internet import error
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion.log import make_logger
from socksfusion.tunnel.reading import Reading
from socksfusion.tunnel.stream_carrier import StreamCarrier
from socksfusion.tunnel.writing import Writing
from socksfusion.wire.yamux.stream import Stream

_log = make_logger()

Watcher: TypeAlias = Callable[["StreamTransport", Failure], None]
"""Is told that a stream has ended, and why."""


class CarrierLost(error.ConnectionLost):
    """The carrier under the stream went away: our own end, not one that a Client or Target chose."""


@implementer(IAddress)
@frozen
class StreamAddress:
    """Where a stream's other end is: the carrier's own address and the stream's number."""

    carrier: str
    stream: int


@implementer(ITransport, IConsumer, IPushProducer)
class StreamTransport:
    """One stream, driven by two kinds of sources.

    - its protocol, through Twisted's transport, consumer and producer interfaces;
    - the carrier, through ``data_received`` and ``ended`` (of the reading direction), ``closed``, ``was_reset``,
      ``cut``, ``carrier_lost`` and ``drained``.

    The protocol hears ``connectionLost`` once: with ``ConnectionDone`` after FIN both ways, ``ConnectionLost`` after
    the peer's RST, ``CarrierLost`` (a ``ConnectionLost``) when the carrier is gone, ``ConnectionAborted`` after its own
    abort or the session's, and with what it raised itself, which is logged and resets this stream alone. Data that
    came before any of the first two is delivered first. A call of the protocol's never calls the protocol back: it
    hears in the reactor's next turn at the earliest.

    As over TCP, the peer's FIN ends the connection of a protocol that is no ``IHalfCloseableProtocol``; what it has
    written by then is still sent. ``writeConnectionLost`` is never called.
    """

    __slots__ = (
        "_aborted",
        "_carrier",
        "_lost",
        "_peer",
        "_reading",
        "_stream",
        "_watchers",
        "_writing",
        "connected",
        "data_received",
        "disconnecting",
        "ended",
        "protocol",
        "write",
    )

    def __init__(self, stream: Stream, carrier: StreamCarrier, peer: str) -> None:
        self._stream = stream
        self._carrier = carrier
        self._peer = peer
        self._reading = Reading(stream, self, carrier)
        self._writing = Writing(stream, self, carrier)
        # the hot path: carrier and protocol call straight into the direction that it is for
        self.data_received = self._reading.data_received
        self.ended = self._reading.ended
        self.write = self._writing.write
        self._aborted = False
        self._lost: Failure | None = None
        self._watchers: tuple[Watcher, ...] = ()
        self.protocol: IProtocol | None = None
        self.connected = True
        self.disconnecting = False
        stream.owner = self

    def belong_to(self, user: str) -> None:
        """Take turns among the streams of ``user``: users get equal shares of a carrier that is too slow for all."""
        self._stream.belong_to(user)

    # -- ITransport ------------------------------------------------------------------------------------------------

    def writeSequence(self, data: Any) -> None:
        """Queue every piece of ``data``."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Read no more; send what is queued (a registered producer ends first), then FIN.

        Later data of the peer's is answered by RST. Harmless when repeated.
        """
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        self._reading.stop()
        if self._lost is not None:
            self._carrier.call_soon(self._tell_lost)
        else:
            self._writing.end()

    def loseWriteConnection(self) -> None:
        """Send what is queued (a registered producer ends first), then FIN; reading goes on."""
        self._writing.end()

    def abortConnection(self) -> None:
        """RST at once: what is queued in either direction is dropped."""
        self._abort(Failure(error.ConnectionAborted()), after_data=False)

    def reset_after_data(self) -> None:
        """RST once everything queued has been sent: how a reset that came from a socket is passed on, in order."""
        self._abort(Failure(error.ConnectionAborted()), after_data=True)

    def getPeer(self) -> StreamAddress:
        """The carrier's other end and the stream."""
        return StreamAddress(self._peer, self._stream.id)

    def getHost(self) -> StreamAddress:
        """This end: the stream on the same carrier."""
        return StreamAddress("local", self._stream.id)

    # -- IConsumer -------------------------------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let ``producer`` write here; it is paused while more than ``limits.STREAM_SEND_BYTES`` are queued."""
        self._writing.register(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer has written all it had."""
        self._writing.unregister()

    # -- IPushProducer: the protocol's brake on what it is given ------------------------------------------------------

    def pauseProducing(self) -> None:
        """Deliver nothing until :meth:`resumeProducing`; the peer runs out of window and stops by itself."""
        self._reading.paused = True

    def resumeProducing(self) -> None:
        """Deliver what waits, from the reactor's next turn on, then what comes."""
        self._reading.paused = False
        self._carrier.call_soon(self._reading.deliver)

    def stopProducing(self) -> None:
        """The consumer of our data is gone."""
        self.loseConnection()

    # -- for a relay, and for whoever keeps count of streams ---------------------------------------------------------

    def when_lost(self, watcher: "Watcher") -> None:
        """Have ``watcher(stream, reason)`` called once, after the protocol has heard of the end; whichever it is then.

        A protocol's ``connectionLost`` tells the reasons. A stream that has ended already is told of at once. One
        watcher may serve all streams: it is told which one has ended.
        """
        if self.connected:
            self._watchers += (watcher,)
        else:
            watcher(self, cast(Failure, self._lost))

    def resume_at_once(self) -> None:
        """:meth:`resumeProducing` for a caller that may be called back before this returns."""
        self._reading.paused = False
        self._reading.deliver()

    def put_back(self, data: bytes, *, ended: bool = False) -> None:
        """Deliver ``data``, which was delivered before, to whoever the protocol is now, ahead of anything else.

        ``ended``: so was the peer's FIN.
        """
        self._reading.put_back(data, ended)

    @property
    def paused(self) -> bool:
        """Whether the protocol has stopped reading."""
        return self._reading.paused

    @property
    def write_paused(self) -> bool:
        """Whether the producer of what we send has been stopped."""
        return self._writing.paused

    @property
    def reset_waiting(self) -> bool:
        """Whether the connection is lost and the protocol has yet to take what came before."""
        return self._lost is not None and self.connected

    @property
    def end_waiting(self) -> bool:
        """Whether the peer's FIN has come and the protocol has yet to take what came before."""
        return self._reading.end_waiting

    @property
    def queued(self) -> int:
        """Bytes written that have not left."""
        return self._stream.queued

    @property
    def unread(self) -> int:
        """Bytes received that the protocol has not taken."""
        return self._reading.waiting

    @property
    def bytes_sent(self) -> int:
        """All bytes that were written."""
        return self._writing.sent

    @property
    def bytes_received(self) -> int:
        """All bytes that came."""
        return self._reading.received

    # -- the carrier's side ----------------------------------------------------------------------------------------

    def closed(self) -> None:
        """FIN has gone both ways."""
        self._lose(Failure(error.ConnectionDone()))

    def was_reset(self) -> None:
        """The peer's RST."""
        self._lose(Failure(error.ConnectionLost("reset by the other end of the tunnel")))

    def cut(self, why: str) -> None:
        """Our side of the session has reset the stream: what is unread is dropped, as after our own abort."""
        self._reading.stop()
        self._lose(Failure(error.ConnectionAborted(why)))

    def carrier_lost(self, why: str) -> None:
        """The carrier is gone. Where the peer's FIN had come, everything before it is still delivered."""
        if not self._reading.ended_by_peer:
            self._reading.stop()
        self._lose(Failure(CarrierLost(why)))

    def drained(self) -> None:
        """The send queue has room again."""
        self._writing.drained()

    # -- the reading direction's side ------------------------------------------------------------------------------

    def broken(self, failure: Failure) -> None:
        """The protocol has raised: a stray exception ends its own stream only (attacks.md, row J3)."""
        _log.failure("the protocol of a stream raised", failure)
        self._abort(failure, after_data=False)

    def end_reached(self) -> None:
        """The peer's FIN has come, and the protocol knows no half-close: as over TCP, its producer has no say."""
        self._writing.stop_producer()
        self.loseConnection()

    def all_taken(self) -> None:
        """The protocol has taken all that came before its loss, if it is lost."""
        if self._lost is not None:
            self._tell_lost()

    # -- ends ------------------------------------------------------------------------------------------------------

    def _lose(self, reason: Failure) -> None:
        if self._lost is None:
            self._lost = reason
            self._writing.stop()
            self._reading.deliver()

    def _abort(self, reason: Failure, *, after_data: bool) -> None:
        if self._aborted or not self.connected:
            return
        self._aborted = True
        self._lost = reason
        self._writing.stop()
        self._reading.stop()
        self._stream.reset(after_data=after_data)
        self._carrier.flush_soon()
        self._carrier.call_soon(self._tell_lost)

    def _tell_lost(self) -> None:
        if not self.connected:
            return
        self.connected = False
        self.disconnecting = True
        self._writing.stop_producer()
        reason = cast(Failure, self._lost)
        watchers, self._watchers = self._watchers, ()
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            try:
                protocol.connectionLost(reason)
            except Exception:
                _log.failure("the protocol of a stream raised when it was told that it is lost", Failure())
        for watcher in watchers:
            try:
                watcher(self, reason)
            except Exception:
                _log.failure("who watches a stream raised when told that it is lost", Failure())
