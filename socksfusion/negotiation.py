"""A connection on which something is agreed before it belongs to the caller's protocol: through a proxy, for one."""

from collections.abc import Callable
from typing import Any
from typing import Protocol as Typed

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class Conversation(Typed):
    """What is said on a new connection, sans-IO."""

    @property
    def rest(self) -> bytes:
        """What came behind the agreement: the caller's protocol gets it first."""

    def data_to_send(self) -> bytes:
        """What must go out now; each byte is given once."""

    def receive_data(self, data: bytes) -> "bool | Deferred[bool]":
        """Take what came; True once all is agreed. Raises what ``connect`` is to fail with.

        A Deferred gives or raises the same later: nothing more is read until then.
        """

    def ended(self, why: Failure) -> Exception:
        """The connection ended too early: what ``connect`` is to fail with."""

    def too_slow(self, seconds: float) -> Exception:
        """Nothing was agreed for so long: what ``connect`` is to fail with."""


@implementer(IStreamClientEndpoint)
class NegotiatedEndpoint:
    """Connects by ``endpoint``, holds a conversation, and hands the connection over to the factory's protocol.

    ``converse`` makes the conversation of each connection; it must agree within ``seconds`` from the TCP connection on.
    ``address`` is what the factory is told that it connects to. The protocol's transport is the real one: its peer is
    the proxy.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        address: IAddress,
        converse: Callable[[], Conversation],
        seconds: float,
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._address = address
        self._converse = converse
        self._seconds = seconds

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """Fires with the factory's protocol once it has the connection; cancelling aborts whatever there is."""

        def build() -> _Negotiation:
            return _Negotiation(self._converse(), lambda: protocolFactory.buildProtocol(self._address))

        def connected(negotiation: Any) -> "Deferred[IProtocol]":
            assert isinstance(negotiation, _Negotiation)
            negotiation.limit(self._reactor, self._seconds)
            return negotiation.agreed

        factory = Factory.forProtocol(build)
        factory.noisy = False
        dialled: Deferred[IProtocol] = self._endpoint.connect(factory)
        return dialled.addCallback(connected)


@implementer(IHalfCloseableProtocol)
class _Negotiation(Protocol):
    """Holds the conversation, then passes everything on to the protocol that the connection is for."""

    def __init__(self, conversation: Conversation, build: Callable[[], IProtocol | None]) -> None:
        self.agreed: Deferred[IProtocol] = Deferred(lambda _: self._leave())
        self._conversation = conversation
        self._build = build
        self._inner: IProtocol | None = None
        self._over = False

    def limit(self, reactor: IReactorTime, seconds: float) -> None:
        """Fail unless all is agreed within ``seconds``."""
        if self._over:
            return
        deadline = reactor.callLater(seconds, lambda: self._fail(self._conversation.too_slow(seconds)))

        def ended(result: Any) -> Any:
            if deadline.active():
                deadline.cancel()
            return result

        self.agreed.addBoth(ended)

    def connectionMade(self) -> None:
        self._send()

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        try:
            agreed = self._conversation.receive_data(data)
        except Exception as error:
            self._gave_up(Failure(error))
            return
        if isinstance(agreed, Deferred):
            self._transport().pauseProducing()
            agreed.addCallbacks(self._go_on, self._gave_up)
        else:
            self._take(agreed)

    def readConnectionLost(self) -> None:
        if self._inner is None:
            self.connectionLost(connectionDone)
        elif IHalfCloseableProtocol.providedBy(self._inner):
            self._inner.readConnectionLost()
        else:
            # what Twisted does for a protocol that knows no half-closed connection, after what is queued
            self._transport().loseConnection()

    def writeConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._inner):
            self._inner.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self._over:
            self._fail(self._conversation.ended(reason))

    def _go_on(self, agreed: bool) -> None:
        if not self._over:
            self._transport().resumeProducing()
            self._take(agreed)

    def _take(self, agreed: bool) -> None:
        self._send()
        if agreed:
            self._hand_over()

    def _gave_up(self, failure: Failure) -> None:
        if not self._over:
            self._send()
            self._fail(failure)

    def _hand_over(self) -> None:
        inner = self._build()
        if inner is None:
            self._fail(ConnectionClosed("the factory made no protocol"))
            return
        self._over = True
        self._inner = inner
        inner.makeConnection(self._transport())
        # no detour for what comes from here on
        self.dataReceived = inner.dataReceived  # type: ignore[method-assign]
        self.agreed.callback(inner)
        if self._conversation.rest:
            inner.dataReceived(self._conversation.rest)

    def _fail(self, error: Exception | Failure) -> None:
        self._leave()
        self.agreed.errback(error)

    def _leave(self) -> None:
        self._over = True
        self._transport().abortConnection()

    def _send(self) -> None:
        data = self._conversation.data_to_send()
        if data:
            self._transport().write(data)

    def _transport(self) -> Any:
        return self.transport
