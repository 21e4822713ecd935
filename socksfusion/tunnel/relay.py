"""A relay: the bytes between one TCP connection and one stream, both ways, each end told the truth about the other.

A FIN passes as a half-close, after the last byte. A reset passes as a reset, after the bytes that came before it, and
never looks like a clean end. Whoever reads slowly stops whoever writes.
"""

import math
from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion.tunnel import eager
from socksfusion.tunnel.bandwidth import Bandwidth, Flow
from socksfusion.tunnel.draining import abort_when_drained
from socksfusion.tunnel.layers import hand_over, is_tls
from socksfusion.tunnel.plain import end_if_killed, reset_if_killed
from socksfusion.tunnel.stream import CarrierLost, StreamTransport
from socksfusion.tunnel.sweeper import Sweeper
from socksfusion.tunnel.unread import read_before_reset


@implementer(IPushProducer)
class Brake:
    """Pauses and resumes a transport for its consumer at the other end of the relay.

    A consumer that is lost tells its producer to stop, before it tells its protocol why. The transport must not end
    cleanly then: the relay decides once it knows the reason.
    """

    __slots__ = ("pauseProducing", "resumeProducing")

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pauseProducing = pause
        self.resumeProducing = resume

    def stopProducing(self) -> None:
        """Nothing yet: the protocol's ``connectionLost`` follows."""


@implementer(IHalfCloseableProtocol)
class TCPEnd(Protocol):
    """The relay's protocol on the Client's or Target's connection."""

    __slots__ = ("dataReceived", "relay")

    def __init__(self, relay: "Relay") -> None:
        self.relay = relay
        # the hot path: one call, straight into the stream
        self.dataReceived = relay.stream.write  # type: ignore[method-assign]

    def readConnectionLost(self) -> None:
        """FIN of the Client or Target."""
        self.relay.tcp_ended()

    def writeConnectionLost(self) -> None:
        """Our own FIN has left."""
        end_if_killed(self.relay.tcp)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.relay.tcp_lost(reason)


@implementer(IHalfCloseableProtocol)
class StreamEnd(Protocol):
    """The relay's protocol on the stream."""

    __slots__ = ("dataReceived", "relay")

    def __init__(self, relay: "Relay") -> None:
        self.relay = relay
        self.dataReceived = eager.writer(relay.tcp)  # type: ignore[method-assign, assignment]

    def readConnectionLost(self) -> None:
        """FIN through the tunnel."""
        self.relay.stream_ended()

    def writeConnectionLost(self) -> None:
        """Our own FIN has left."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is gone."""
        self.relay.stream_lost(reason)


class Relay:
    """One TCP connection and one stream joined; made by :func:`join`. TCP stands for Unix sockets too."""

    __slots__ = ("_limited", "_sweeper", "stream", "stream_read_done", "tcp", "tcp_read_done", "watched")

    def __init__(self, tcp: Any, stream: StreamTransport, sweeper: Sweeper | None) -> None:
        self.tcp = tcp
        self.stream = stream
        self.tcp_read_done = False
        self.stream_read_done = False
        self.watched: tuple[int, float] | None = None
        self._sweeper = sweeper
        self._limited: Flow | None = None

    @property
    def half_closed(self) -> bool:
        """Whether just one direction has ended."""
        return self.tcp_read_done != self.stream_read_done

    @property
    def takes_nothing(self) -> bool:
        """Whether the stream, or a limit, has stopped the reading of the TCP side for now."""
        return self.stream.write_paused or (self._limited is not None and self._limited.held)

    def start(self, early_data: bytes, bandwidth: Bandwidth | None = None) -> None:
        """Take both transports over from their protocols."""
        tcp, stream = self.tcp, self.stream
        tcp_end, stream_end = TCPEnd(self), StreamEnd(self)
        tcp_end.transport, stream_end.transport = tcp, stream
        hand_over(tcp, tcp_end)
        stream.protocol = stream_end
        reset_if_killed(tcp)
        up: Brake | Flow = Brake(stream.pauseProducing, stream.resume_at_once)
        down: Brake | Flow = Brake(tcp.pauseProducing, tcp.resumeProducing)
        if bandwidth is not None:
            tcp.bufferSize = bandwidth.read_bytes
            up = bandwidth.up.flow(stream_end, stream.pauseProducing, stream.resume_at_once)
            down = self._limited = bandwidth.down.flow(tcp_end, tcp.pauseProducing, tcp.resumeProducing)
        read_before_reset(tcp, self)
        if self._sweeper is not None:
            self._sweeper.relays.add(self)
        if early_data:
            stream.write(early_data)
        tcp.registerProducer(up, True)
        stream.registerProducer(down, True)

    def tcp_ended(self) -> None:
        """The TCP side has said its last byte."""
        self.tcp_read_done = True
        # it writes no more, and must not be asked to read on: at its end it would find the end again
        self.stream.unregisterProducer()
        self.stream.loseWriteConnection()
        self._both_ended()

    def stream_ended(self) -> None:
        """The stream's other end has said its last byte."""
        self.stream_read_done = True
        if not self.tcp_read_done:
            self.tcp.loseWriteConnection()
        self._both_ended()

    def tcp_lost(self, reason: Failure) -> None:
        """The TCP connection is gone: cleanly only where we closed it after both directions had ended."""
        self._leave()
        if not isinstance(reason.value, error.ConnectionDone) or not self.tcp_read_done:
            self.stream.unregisterProducer()
            self.stream.reset_after_data()

    def stream_lost(self, reason: Failure) -> None:
        """The stream is gone. After FIN both ways the TCP side ends by itself; else it is reset.

        What the peer's RST came after is written first. A carrier that is lost, or our own abort, resets at once. But
        where the peer had ended its direction before, the TCP side has a right to all of it, and may take its time.
        """
        self._leave()
        self.tcp.unregisterProducer()
        if isinstance(reason.value, error.ConnectionDone):
            return
        if self.stream_read_done:
            abort_when_drained(self.tcp, math.inf)
        elif isinstance(reason.value, CarrierLost | error.ConnectionAborted):
            self.tcp.abortConnection()
        else:
            abort_when_drained(self.tcp)

    def abort(self) -> None:
        """Reset both ways, now."""
        self._leave()
        self.stream.abortConnection()
        self.tcp.abortConnection()

    def _both_ended(self) -> None:
        if self.tcp_read_done and self.stream_read_done:
            self._leave()
            self.tcp.unregisterProducer()
            end_if_killed(self.tcp)
            self.tcp.loseConnection()

    def _leave(self) -> None:
        if self._sweeper is not None:
            self._sweeper.relays.discard(self)


class TLSRelay(Relay):
    """The same where the Client's connection is TLS, whose two directions Twisted ends as one.

    The stream's FIN becomes our close_notify, and the Client is read on until its own. But its close_notify ends the
    connection: for the Target that is a FIN, and what the Target still sends has nowhere to go.
    """

    __slots__ = ()

    def stream_ended(self) -> None:
        """The stream's other end has said its last byte."""
        self.stream_read_done = True
        # a transport with a producer would wait for more
        self.tcp.unregisterProducer()
        self.tcp.loseConnection()

    def tcp_lost(self, reason: Failure) -> None:
        """The connection is gone: cleanly where the Client sent its close_notify, which no cut looks like."""
        if not isinstance(reason.value, error.ConnectionDone):
            super().tcp_lost(reason)
            return
        self._leave()
        self.tcp_read_done = True
        self.stream.unregisterProducer()
        self.stream.loseConnection()


def join(
    tcp: Any,
    stream: StreamTransport,
    early_data: bytes = b"",
    sweeper: Sweeper | None = None,
    bandwidth: Bandwidth | None = None,
) -> Relay:
    """Join a connected TCP transport, or one of Twisted's TLS, and a stream; their protocols are replaced.

    ``early_data`` came from the TCP side before and goes into the stream first. ``sweeper`` looks after what no event
    tells: half-closed silence and resets of paused sockets. ``bandwidth`` limits what passes, if anything does.
    """
    relay = (TLSRelay if is_tls(tcp) else Relay)(tcp, stream, sweeper)
    relay.start(early_data, bandwidth)
    return relay
