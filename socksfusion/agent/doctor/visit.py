"""One connection to the Proxy that asks and never serves: TLS as the Agent's, then a hello with the feature *ask*."""

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol

from socksfusion.identity.names import is_address
from socksfusion.refusals import Refusals
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.control import ControlProtocol
from socksfusion.tunnel.tls import TLSFailed
from socksfusion.wire.control_messages import ASK
from socksfusion.wire.messages import Message
from socksfusion.wire.yamux.session import Session


class VisitEnded(Exception):
    """The connection is over, and an answer was still waited for."""

    def __init__(self, why: str, tls: TLSFailed | None) -> None:
        super().__init__(why)
        self.tls = tls
        """Why TLS failed, or None."""


class AskingVisit(Factory):
    """Makes one carrier (as its owner too) for the Proxy at ``host``.

    ``secured`` fires once TLS stands and the certificate is of the copy's CA; ``next_message`` gives what is said then.
    Both fail with :class:`VisitEnded` where the connection ends before.
    """

    noisy = False

    def __init__(self, reactor: IReactorTime, host: str, context: SSL.Context) -> None:
        self.host = host
        self.carrier: Carrier | None = None
        self.secured: Deferred[None] = Deferred()
        self._reactor = reactor
        self._context = context
        self._control: ControlProtocol | None = None
        self._heard: list[Message] = []
        self._waits: Deferred[Message] | None = None
        self._ended: VisitEnded | None = None

    def buildProtocol(self, addr: IAddress | None) -> Carrier:
        """The carrier."""
        carrier = Carrier(
            self._reactor,
            self._context,
            self,
            lambda now: Session(client=False, now=now),
            Refusals(self._reactor.seconds),
            server=False,
            server_name=None if is_address(self.host) else self.host,
        )
        self.carrier = carrier
        return carrier

    @property
    def connection(self) -> SSL.Connection:
        """OpenSSL's; after ``buildProtocol``."""
        assert self.carrier is not None
        return self.carrier.tls.connection

    @property
    def peer(self) -> str:
        """The address that the connection goes to."""
        assert self.carrier is not None
        return self.carrier.peer

    def ask(self) -> None:
        """Say hello, as one that wants to know how its key stands."""
        assert self._control is not None
        # no program of this id ever serves
        self._control.say_hello("doctor", (ASK,))

    def next_message(self) -> "Deferred[Message]":
        """What the Proxy says next."""
        answer: Deferred[Message] = Deferred()
        if self._heard:
            answer.callback(self._heard.pop(0))
        elif self._ended is not None:
            answer.errback(self._ended)
        else:
            self._waits = answer
        return answer

    def leave(self) -> None:
        """Hang up."""
        if self.carrier is not None:
            self.carrier.abort("asked all")

    # -- CarrierOwner ----------------------------------------------------------------------------------------------

    def handshaken(self, carrier: Carrier) -> None:
        """TLS stands."""
        self.secured.callback(None)

    def stream_opened(self, carrier: Carrier, peer: str) -> IProtocol:
        """The control stream; no other can come to one that does not serve."""
        if self._control is not None:
            return _Nobody()
        self._control = ControlProtocol(self._received, carrier.fail, lambda: None)
        return self._control

    def lost(self, carrier: Carrier, why: str) -> None:
        """The connection is over."""
        self._ended = VisitEnded(why, carrier.tls_failure)
        waits, self._waits = self._waits, None
        for waiting in (self.secured, waits):
            if waiting is not None and not waiting.called:
                waiting.errback(self._ended)

    def _received(self, message: Message) -> None:
        waits, self._waits = self._waits, None
        if waits is None or waits.called:
            self._heard.append(message)
        else:
            waits.callback(message)


class _Nobody(Protocol):
    """Ends a stream that nobody may open."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()
