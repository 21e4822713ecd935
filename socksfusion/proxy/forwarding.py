"""A plain HTTP request between a Client's connection and a stream: the bytes of ``wire.http_forward`` moved both ways.

Whoever reads slowly stops whoever writes. A reply that breaks off before its end is a reset for the Client: it must not
look complete.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion.tunnel.draining import abort_when_drained
from socksfusion.tunnel.relay import Brake
from socksfusion.tunnel.stream import CarrierLost, StreamTransport
from socksfusion.tunnel.sweeper import Sweeper
from socksfusion.wire.http_forward import Exchange, ExchangeFailed


@implementer(IHalfCloseableProtocol)
class _TargetEnd(Protocol):
    """The forward's protocol on the stream."""

    def __init__(self, forward: "Forward") -> None:
        self._forward = forward

    def dataReceived(self, data: bytes) -> None:
        """Some of the reply."""
        self._forward.target_data(data)

    def readConnectionLost(self) -> None:
        """The Target's FIN, which may be how a reply ends."""
        self._forward.target_data(b"")

    def writeConnectionLost(self) -> None:
        """Ours; the stream is closed as a whole."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is gone."""
        self._forward.target_lost(reason)


class Forward:
    """One exchange. The Client's connection keeps its protocol, which tells this object what comes.

    ``write`` writes to ``tcp``. ``ended`` is called once: with None when the whole reply was written, else with what
    failed before any of the reply was: an answer is due. A forward that breaks off later has reset the Client instead.
    """

    def __init__(
        self,
        tcp: Any,
        stream: StreamTransport,
        exchange: Exchange,
        write: Callable[[bytes], object],
        ended: Callable[[ExchangeFailed | None], None],
        sweeper: Sweeper | None,
    ) -> None:
        self.tcp = tcp
        self.stream = stream
        self.watched: tuple[int, float] | None = None
        self._exchange = exchange
        self._write = write
        self._tell = ended
        self._sweeper = sweeper
        self._client_ended = False
        self._over = False

    @property
    def half_closed(self) -> bool:
        """For the sweeper: whether the Client will say no more and only the Target could end this."""
        return self._client_ended

    def start(self, early_data: bytes) -> None:
        """Send the request, of which ``early_data`` is what came behind its head."""
        stream = self.stream
        stream.protocol = _TargetEnd(self)
        stream.protocol.transport = stream
        if self._sweeper is not None:
            self._sweeper.relays.add(self)
        self.tcp.registerProducer(Brake(stream.pauseProducing, stream.resume_at_once), True)
        stream.registerProducer(Brake(self.tcp.pauseProducing, self.tcp.resumeProducing), True)
        self.client_data(early_data)

    def client_data(self, data: bytes) -> None:
        """More of the request."""
        if data:
            self._feed(self._exchange.client_data, data)
        else:
            self._pass_on()

    def client_ended(self) -> None:
        """The Client's FIN: the end of its request, or a request that breaks off."""
        self._client_ended = True
        self._feed(self._exchange.client_data, b"")

    def client_lost(self) -> None:
        """The Client is gone."""
        if not self._over:
            self._leave()
            self.stream.abortConnection()

    def target_data(self, data: bytes) -> None:
        """More of the reply, or its end."""
        self._feed(self._exchange.target_data, data)

    def target_lost(self, reason: Failure) -> None:
        """The stream is gone: after the reply that is in order."""
        if reason.check(CarrierLost):
            why = "the agent was lost"
        elif reason.check(error.ConnectionAborted):
            why = "the Proxy ended it"
        else:
            how = "closed" if reason.check(error.ConnectionDone) else "reset"
            why = f"the target {how} the connection"
        self._fail(ExchangeFailed(f"{why} before the reply's end", clients_fault=False))

    def abort(self) -> None:
        """Reset both ways, now."""
        self._leave()
        self.stream.abortConnection()
        self.tcp.abortConnection()

    def _feed(self, take: Callable[[bytes], None], data: bytes) -> None:
        if self._over:
            return
        failed = None
        try:
            take(data)
        except ExchangeFailed as failure:
            failed = failure
        self._pass_on()
        if failed is not None:
            self._fail(failed)

    def _pass_on(self) -> None:
        """What the exchange has for both, and its end."""
        if data := self._exchange.to_target():
            self.stream.write(data)
        if data := self._exchange.to_client():
            self._write(data)
        if self._exchange.reply_done:
            self._leave()
            self.tcp.unregisterProducer()
            self._end_stream()
            self._tell(None)

    def _fail(self, failure: ExchangeFailed) -> None:
        if self._over:
            return
        self._leave()
        self.tcp.unregisterProducer()
        self.stream.abortConnection()
        if self._exchange.reply_begun:
            abort_when_drained(self.tcp)
        else:
            self._tell(failure)

    def _end_stream(self) -> None:
        self.stream.unregisterProducer()
        if self._exchange.request_done:
            self.stream.loseConnection()
        else:
            self.stream.abortConnection()

    def _leave(self) -> None:
        self._over = True
        if self._sweeper is not None:
            self._sweeper.relays.discard(self)
