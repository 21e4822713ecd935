"""The Proxy's side toward one Client, whichever protocol it speaks: negotiation, login, dial, hand-over.

Once a relay has a connection, nothing of this module stays with it. A plain HTTP request and an association keep it.
"""

from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from twisted.internet import defer, protocol
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion.log import make_logger
from socksfusion.proxy.access import Access, WhyNot
from socksfusion.proxy.connection import Connection
from socksfusion.proxy.forwarding import Forward
from socksfusion.proxy.front import Association, Front
from socksfusion.wire import http_proxy, http_replies
from socksfusion.wire.first_byte import NoWayIn, way_in
from socksfusion.wire.http_forward import Exchange, ExchangeFailed
from socksfusion.wire.socks5 import Address, Command, Reply
from socksfusion.wire.way_in import Event, LoginReceived, ProtocolFailed, RequestReceived, WayIn

if TYPE_CHECKING:
    from socksfusion.proxy.opening import Opened
    from socksfusion.tunnel.stream import StreamTransport

_log = make_logger()
_NOBODY_YET = Access(peer="")


class _Phase(Enum):
    NEGOTIATING = 1
    WAITING = 2
    """For the answer of somebody else: to a wrong login, or to the request."""
    SERVED = 3


@implementer(IHalfCloseableProtocol)
class ClientProtocol(Connection):
    """One Client until its connection is relayed or refused.

    Driven by four sources: the Client's bytes and its going away, the accounts' and the router's answers, the deadlines
    of :class:`Front`, and what serves it where it is not relayed.
    """

    def __init__(self, front: Front, access: Access, address: IAddress | None) -> None:
        super().__init__(front, address)
        self._access = access
        self._way: WayIn | None = None
        self._phase = _Phase.NEGOTIATING
        self._awaited: defer.Deferred[Any] | None = None
        self._forward: Forward | None = None
        self._association: Association | None = None

    # -- the Client --

    def dataReceived(self, data: bytes) -> None:
        """Negotiate; keep what comes while others are asked; drop what comes after a refusal."""
        if self._finishing:
            return
        if self._way is None and not self._begin(data[0]):
            return
        way = cast(WayIn, self._way)
        if self._phase is _Phase.NEGOTIATING:
            self._negotiate(way, way.receive_data(data))
        elif self._phase is _Phase.WAITING:
            way.receive_data(data)
            self._bound_early_data(way)
        elif self._forward is not None:
            self._forward.client_data(data)

    def readConnectionLost(self) -> None:
        """The Client's FIN: kept while others are asked, passed on to a Target, an end of everything at other times."""
        self._ended = True
        if self._forward is not None and not self._finishing:
            self._forward.client_ended()
        elif self._phase is not _Phase.WAITING or self._finishing:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our own FIN has left; the Client's is awaited."""

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """The Client is gone, or we have closed; what is under way is for nobody."""
        self._front.incomplete.discard(self)
        self._front.lingering.discard(self)
        if self._awaited is not None:
            self._awaited.cancel()
        if self._forward is not None:
            self._forward.client_lost()
        if self._association is not None:
            self._association.client_lost()
        if self._way is None and not self._finishing:
            self._tell_broken_layer(reason)

    # -- negotiation --

    def _begin(self, first: int) -> bool:
        """The first byte tells the protocol; whether it is one that is served."""
        self._take_off_proxy_header()
        self._access = Access(self.peer, *self._access[1:])
        try:
            self._way = way_in(first, login_required=self._front.accounts.required)
        except NoWayIn as error:
            self.refuse(error.rule, str(error))
            return False
        return True

    def _negotiate(self, way: WayIn, events: list[Event]) -> None:
        answer = way.data_to_send()
        if answer:
            self._write(answer)
        for event in events:
            if isinstance(event, RequestReceived):
                self._serve(way, event)
            elif isinstance(event, LoginReceived):
                self._login(way, event)
            elif isinstance(event, ProtocolFailed):
                self._front.refusals.refuse(event.rule, self.peer, event.why)
                self._finish(read_on=bool(answer))

    def _login(self, way: WayIn, login: LoginReceived) -> None:
        access = self._front.accounts.login(login.user, login.password, self._access)
        if access is not None:
            self._access = access
            self._negotiate(way, way.login_accepted())
            return
        self._phase = _Phase.WAITING
        self._bound_early_data(way)
        self._awaited = awaited = self._front.guessing.failed(self.peer)
        awaited.addCallbacks(self._refuse_login, lambda failure: failure.trap(defer.CancelledError), (way,))

    def _refuse_login(self, _due: None, way: WayIn) -> None:
        self._awaited = None
        way.login_refused()
        self._write(way.data_to_send())
        self._finish(read_on=True)

    # -- the request --

    def _serve(self, way: WayIn, request: RequestReceived) -> None:
        self._front.incomplete.discard(self)
        if request.command is Command.UDP_ASSOCIATE:
            self._associate(request.address)
        elif isinstance(way, http_proxy.ServerConnection) and self._must_log_in():
            way.want_login()
            self._write(way.data_to_send())
            self._finish(read_on=True)
        else:
            self._open(way, request.address)

    def _must_log_in(self) -> bool:
        """Whether only a login tells which agent is meant: an HTTP client sends its own when it is asked for it."""
        standing = self._front.accounts.standing(self._access)
        return isinstance(standing, WhyNot) and standing.rule == "ambiguous"

    def _associate(self, address: Address) -> None:
        if self._front.associations is None:
            self.answer(Reply.COMMAND_NOT_SUPPORTED)
            return
        self._phase = _Phase.SERVED
        self._association = self._front.associations.begin(self, self._access, address)

    def _open(self, way: WayIn, address: Address) -> None:
        self._phase = _Phase.WAITING
        self._bound_early_data(way)
        self._awaited = dial = defer.maybeDeferred(self._front.router.open, address.host, address.port, self._access)
        dial.addCallback(self._opened, way)
        dial.addErrback(self._failed)

    def _opened(self, opened: "Opened", way: WayIn) -> None:
        self._awaited = None
        if opened.reply != Reply.SUCCEEDED:
            self.answer(opened.reply, opened.bound_host, opened.bound_port, opened.detail)
            return
        stream = cast("StreamTransport", opened.stream)
        try:
            exchange = way.exchange() if isinstance(way, http_proxy.ServerConnection) else None
            self._read_freely(way)
            if exchange is not None:
                self._forward_request(exchange, stream, way)
            else:
                self._relay(opened, way)
        except Exception:
            # nobody else may have it yet
            stream.abortConnection()
            raise

    def _relay(self, opened: "Opened", way: WayIn) -> None:
        way.reply(Reply.SUCCEEDED, opened.bound_host, opened.bound_port)
        # the relay first, which delivers nothing yet: once the reply is out, a killed Proxy must look like a cut
        self._front.join(self.transport, opened.stream, way.early_data)
        self._write(way.data_to_send())
        if self._ended:
            # the relay's protocol stands in our place by now and has not seen the FIN
            self.transport.protocol.readConnectionLost()

    def _forward_request(self, exchange: Exchange, stream: "StreamTransport", way: WayIn) -> None:
        self._phase = _Phase.SERVED
        self._forward = Forward(self.transport, stream, exchange, self._write, self._forwarded, self._front.sweeper)
        self._forward.start(way.early_data)
        if self._ended:
            self._forward.client_ended()

    def _forwarded(self, failed: ExchangeFailed | None) -> None:
        if failed is not None:
            self._write(http_replies.error(400 if failed.clients_fault else 502, str(failed)))
        self._finish(read_on=True)

    def _failed(self, failure: Failure) -> None:
        """The Client went away, which cancelled the dial; or a fault of our own, which ends this connection only."""
        router_failed, self._awaited = self._awaited is not None, None
        if failure.check(defer.CancelledError):
            return
        _log.failure("the request of a client failed", failure=failure)
        if router_failed:
            self.answer(Reply.GENERAL_FAILURE)
        else:
            self.transport.abortConnection()

    def answer(self, code: Reply, host: str = "", port: int = 0, detail: str = "") -> None:
        """Answer the request, which ends the connection unless an association was served."""
        way = cast(WayIn, self._way)
        way.reply(code, host, port, detail)
        self._write(way.data_to_send())
        if code != Reply.SUCCEEDED:
            # the body of an HTTP request may be on its way
            self._finish(read_on=bool(way.early_data) or isinstance(way, http_proxy.ServerConnection))


class _TurnedAway(protocol.Protocol):
    """Closes in the next turn: where an endpoint has layers, they would wrap None as if it were a protocol."""

    def connectionMade(self) -> None:
        """There is nobody to talk to."""
        cast(Any, self.transport).abortConnection()


class ClientFactory(protocol.ServerFactory):
    """Makes the protocols of one listener, whose Clients are known to it as ``access`` before they log in.

    ``layered``: see ``endpoints.is_layered``.
    """

    noisy = False

    def __init__(self, front: Front, access: Access = _NOBODY_YET, *, layered: bool = False) -> None:
        self._front = front
        self._access = access
        self._layered = layered

    def buildProtocol(self, addr: IAddress | None) -> protocol.Protocol | None:
        """The protocol for a Client from ``addr``; None (closed at once) where too many files are open."""
        client = ClientProtocol(self._front, self._access, addr)
        refused = self._front.headroom.refusal()
        if refused is not None:
            self._front.refusals.refuse("descriptors", client.peer, refused)
            return _TurnedAway() if self._layered else None
        return client
