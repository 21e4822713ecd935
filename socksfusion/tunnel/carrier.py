"""The carrier: one TLS connection of an Agent to a Proxy, with a yamux session on it.

The way of a byte through here: the socket's read → ``TLSMachine`` → ``Session`` → :class:`StreamTransport`, and back:
stream → session's queues → one flush → TLS → the socket's write.
"""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.identity.tls import is_guest
from socksfusion.refusals import Refusals
from socksfusion.tunnel import carrier_socket, eager
from socksfusion.tunnel.checks import Checks
from socksfusion.tunnel.handlers import EventHandlers, cut
from socksfusion.tunnel.owner import CarrierOwner
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.tunnel.stream_queue import StreamQueue, TakesStream
from socksfusion.tunnel.tls import TLSFailed, TLSMachine
from socksfusion.wire.yamux.events import Event
from socksfusion.wire.yamux.joining import join_data
from socksfusion.wire.yamux.session import Session


class GuestProtocol(Protocol):
    """What serves a connection whose TLS stands, and which is no tunnel."""

    def take(self, pieces: list[bytes]) -> None:
        """Plaintext that came with the handshake's end."""
        raise NotImplementedError


@implementer(IPushProducer)
class Carrier(Protocol):
    """The Protocol over a carrier's TCP connection.

    ``peer`` names the other end for logs (``address:port``). Attributes of use to others: ``session``, ``tls_failure``
    (why TLS ended, or None), ``failure`` (the protocol error that ended the session, or None), ``last_received``
    (seconds), ``closing`` (whether its end has begun), ``gone`` (whether the connection is lost),
    ``given_away`` (whether a guest has it).
    """

    def __init__(
        self,
        reactor: IReactorTime,
        context: SSL.Context,
        owner: CarrierOwner,
        make_session: Callable[[float], Session],
        refusals: Refusals,
        *,
        server: bool,
        server_name: str | None = None,
        guests: Callable[[TLSMachine], GuestProtocol] | None = None,
    ) -> None:
        self.reactor = reactor
        self.seconds: Callable[[], float] = reactor.seconds
        self.owner = owner
        self.tls = TLSMachine(context, server=server, server_name=server_name)
        self.session = make_session(reactor.seconds())
        self._refusals = refusals
        self._guests = guests
        self.peer = "unknown"
        self.failure: Exception | None = None
        self.tls_failure: TLSFailed | None = None
        self.last_received = reactor.seconds()
        self.bytes_received = 0
        self.bytes_sent = 0
        self.handshaken = False
        self.lost_why = ""
        self.closing = False
        self.gone = False
        self.given_away = False
        self._aborted = False
        self._write_paused = False
        self._flush_due = False
        self._deadline: IDelayedCall | None = None
        self._queue = StreamQueue(self)
        self._checks = Checks(reactor)
        self._handlers = EventHandlers(self, self._queue, self._checks, refusals).by_type

    # -- Protocol --------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The TCP connection stands; TLS begins."""
        transport: Any = self.transport
        address = transport.getPeer()
        self.peer = f"{address.host}:{address.port}"
        carrier_socket.prepare(transport)
        transport.registerProducer(self, True)
        self._write_data = eager.writer(transport)
        self._flush_tls()

    def dataReceived(self, data: bytes) -> None:
        """Ciphertext."""
        now = self.last_received = self.seconds()
        self.bytes_received += len(data)
        tls = self.tls
        pieces = tls.receive_data(data)
        if not self.handshaken:
            self._flush_tls()
            if not tls.handshaken:
                if tls.failure is not None:
                    self._tls_failed(tls.failure)
                elif self.bytes_received > limits.HANDSHAKE_BYTES:
                    self.abort(f"no TLS handshake within {limits.HANDSHAKE_BYTES} bytes")
                return
            self.handshaken = True
            if self._guests is not None and is_guest(tls.connection):
                self._give_away(self._guests(tls), pieces)
                return
            self.transport.bufferSize = limits.CARRIER_READ_BYTES  # type: ignore[union-attr]
            self.owner.handshaken(self)
        self._receive(pieces, now)
        if tls.failure is not None:
            self._tls_failed(tls.failure)
        elif tls.close_received:
            self.end()
        elif self.session.wants_to_send:
            self.flush_soon()

    def _give_away(self, guest: "GuestProtocol", pieces: list[bytes]) -> None:
        """The connection is no tunnel, for good: no byte of it comes to the session."""
        transport: Any = self.transport
        self.closing = self.given_away = True
        transport.unregisterProducer()
        # on this object, for Twisted's wrappers keep a reference to it
        self.dataReceived = guest.dataReceived  # type: ignore[method-assign]
        self.connectionLost = guest.connectionLost  # type: ignore[method-assign]
        guest.makeConnection(transport)  # type: ignore[no-untyped-call]
        guest.take(pieces)

    def _receive(self, pieces: list[bytes], now: float) -> None:
        receive, handlers = self.session.receive_data, self._handlers
        happened: list[Event] = []
        for piece in pieces:
            happened += receive(piece, now)
        for event in join_data(happened):
            # nothing counts that a peer says after we have cut it off, in the same read too
            if self._aborted:
                return
            handlers[type(event)](event)
        self._tell_ended()
        self._queue.serve()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The TCP connection is gone."""
        self._cancel_deadline()
        self.closing = self.gone = True
        in_order = reason.check(error.ConnectionDone)
        why = self.lost_why or ("the connection was closed" if in_order else reason.getErrorMessage())
        self._queue.give_up()
        self._checks.lost()
        self._tell_ended()
        cut(self.session.fail(None), why)
        self.owner.lost(self, why)

    # -- IPushProducer: the socket's brake on what we send -------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The socket takes no more for now."""
        self._write_paused = True

    def resumeProducing(self) -> None:
        """The socket's buffer is empty."""
        self._write_paused = False
        self._flush()

    def stopProducing(self) -> None:
        """The socket is gone; ``connectionLost`` follows."""
        self._write_paused = True

    # -- streams ---------------------------------------------------------------------------------------------------

    def open_stream(self, taker: TakesStream, user: str = "") -> None:
        """Open a stream and give its transport, without a protocol yet, to ``taker``.

        At once where the session allows it. Above ``limits.UNACKNOWLEDGED_STREAMS`` users take turns. ``taker`` is
        given None, also from within this call, where the carrier takes no more streams.
        """
        self._queue.open(taker, user)

    def withdraw(self, taker: TakesStream) -> None:
        """Take it out of the queue; harmless where it is not in it."""
        self._queue.withdraw(taker)

    def call_soon(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call ``function`` in the reactor's next turn."""
        self.reactor.callLater(0, function, *arguments)

    # -- liveness --------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Send a ping, unless the carrier is ending; its reply refreshes the round trip and ``last_received``."""
        if not self.closing and not self.session.closed:
            self.session.ping(self.seconds())
            self.flush_soon()

    def check(self, limit_seconds: float) -> Deferred[bool]:
        """Whether the other end answers a ping within ``limit_seconds``; not, where the carrier ends. Never fails."""
        if self.closing or self.session.closed:
            return succeed(False)
        answer = self._checks.expect(self.session.ping(self.seconds()), limit_seconds)
        self.flush_soon()
        return answer

    # -- ends ------------------------------------------------------------------------------------------------------

    def end(self, why: str = "") -> None:
        """Go away in order: what is queued is sent, then go-away 0 and close_notify; done within a few seconds."""
        self._shut(why, limits.SESSION_CLOSE_SECONDS, half=False)

    def refuse(self, why: str, keep: StreamTransport) -> None:
        """End after a refusal that was written to ``keep``: every other stream is cut at once, then the writing side is
        shut; reading goes on for a moment, so that the peer gets the reason.
        """
        others = [stream for stream in self.session.streams.values() if stream.owner is not keep]
        for stream in others:
            stream.reset()
        cut(others, why)
        self._shut(why, limits.REFUSAL_LINGER_SECONDS, half=True)

    def fail(self, why: str) -> None:
        """End because the peer broke the protocol above the session: go-away 1."""
        self.session.go_away(1)
        self.session_failed(ValueError(why))

    def session_failed(self, failure: Exception) -> None:
        """End because the peer broke the session's protocol; the session has left its go-away to be sent."""
        self.failure = failure
        self._refusals.refuse("session", self.peer, str(failure))
        self._shut(f"protocol error: {failure}", limits.REFUSAL_LINGER_SECONDS, half=True)

    def abort(self, why: str) -> None:
        """Cut the connection now."""
        self.lost_why = self.lost_why or why
        self.closing = self._aborted = True
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]
        self._queue.give_up()

    # -- sending ---------------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send what the session has, in the reactor's next turn, together with all that comes until then."""
        if not self._flush_due and not self._write_paused:
            self._flush_due = True
            self.reactor.callLater(0, self._flush_now)

    def _flush_now(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        if not self.handshaken or self.closing:
            return
        self._send()
        self._tell_ended()
        for stream in self.session.take_drained():
            stream.owner.drained()
        self._queue.serve()

    def _send(self) -> None:
        session, tls = self.session, self.tls
        while not self._write_paused and session.wants_to_send:
            pieces = session.data_to_send(limits.CARRIER_FLUSH_BYTES)
            if not pieces:
                # what waited has become pointless meanwhile, and OpenSSL fails at nothing
                break
            tls.send(b"".join(pieces))
            self._write(tls.data_to_send())

    def _flush_tls(self) -> None:
        data = self.tls.data_to_send()
        if data and self.transport is not None:
            self._write(data)

    def _write(self, data: bytes) -> None:
        self.bytes_sent += len(data)
        self._write_data(data)

    def _shut(self, why: str, limit_seconds: float, *, half: bool) -> None:
        if self.closing or self.transport is None:
            return
        self.closing = True
        self.lost_why = self.lost_why or why
        transport: Any = self.transport
        transport.unregisterProducer()
        self._write_paused = False
        if self.handshaken and self.tls.failure is None:
            if self.failure is None:
                self.session.go_away(0)
            self._send()
            self.tls.close()
        self._flush_tls()
        if half:
            transport.loseWriteConnection()
        else:
            transport.loseConnection()
        self._cancel_deadline()
        self._deadline = self.reactor.callLater(limit_seconds, self.abort, why)
        self._queue.give_up()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _tell_ended(self) -> None:
        # never amid the events of a read: the session runs ahead of them, and a stream's last data may be to come
        for stream in self.session.take_ended():
            stream.owner.closed()

    def _tls_failed(self, failure: TLSFailed) -> None:
        self.tls_failure = failure
        self._shut(f"TLS: {failure}", limits.REFUSAL_LINGER_SECONDS, half=True)
