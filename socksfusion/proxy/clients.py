"""The Proxy's side toward its Clients: a SOCKS5 server in front of whatever opens the connections.

A Client's connection is negotiated here, waits for the router's answer and is handed to a relay; nothing of this module
stays with it after that.
"""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, cast
from typing import Protocol as Interface

from twisted.internet import defer, protocol
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import descriptors, limits
from socksfusion.log import make_logger
from socksfusion.proxy.deadlines import Deadlines
from socksfusion.refusals import Refusals
from socksfusion.tunnel import eager, plain
from socksfusion.wire.socks5 import Address, ProtocolFailed, Reply, RequestReceived, ServerConnection

if TYPE_CHECKING:
    from socksfusion.proxy.opening import Opened
    from socksfusion.tunnel.stream import StreamTransport

_log = make_logger()


class Router(Interface):
    """What finds the Agent and asks it (``proxy.routing.Router``)."""

    def open(self, host: str, port: int, agent: str | None, client: str) -> "defer.Deferred[Opened]":
        """Open ``host``:``port`` through ``agent`` (None: by the rules of the shared port) for the peer ``client``.

        Cancelling the Deferred cancels the dial.
        """


class SocksFront:
    """What all Clients of a Proxy share, whichever port they came to.

    ``clock`` is the reactor; ``join(transport, stream, early_data)`` makes a relay of the two, whose protocols it gives
    them (``tunnel.relay.join``). ``negotiation_seconds`` is for greeting and request together.
    """

    def __init__(
        self,
        clock: IReactorTime,
        router: Router,
        refusals: Refusals,
        join: Callable[[Any, Any, bytes], object],
        negotiation_seconds: float = limits.NEGOTIATION_SECONDS,
    ) -> None:
        self.router = router
        self.refusals = refusals
        self.join = join
        self.headroom = descriptors.for_clients()
        self.incomplete: Deadlines[ClientProtocol] = Deadlines(clock, negotiation_seconds, _time_out)
        """Clients whose request is not whole."""
        self.lingering: Deadlines[ClientProtocol] = Deadlines(
            clock, limits.REFUSAL_LINGER_SECONDS, ClientProtocol.close
        )
        """Clients that were answered and are read on, so that what they send can't reset the answer away."""


class _Phase(Enum):
    NEGOTIATING = 1
    DIALLING = 2
    FINISHING = 3


@implementer(IHalfCloseableProtocol)
class ClientProtocol(protocol.Protocol):
    """One Client until its connection is relayed or refused.

    Driven by three sources: the Client's bytes and its going away, the router's answer, and the deadlines of
    :class:`SocksFront`.
    """

    transport: Any

    def __init__(self, front: SocksFront, agent: str | None, address: IAddress | None) -> None:
        self._front = front
        self._agent = agent
        self._address = address
        self._socks = ServerConnection()
        self._phase = _Phase.NEGOTIATING
        self._dial: defer.Deferred[Opened] | None = None
        self._ended = False

    @property
    def peer(self) -> str:
        """The Client's address and port, for logs."""
        address = self._address
        if not isinstance(address, IPv4Address | IPv6Address):
            return "unix"
        return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"

    # -- the Client --

    def connectionMade(self) -> None:
        """A newcomer is always let in: the oldest Client without a whole request makes room."""
        plain.prepare(self.transport)
        self._write = eager.writer(self.transport)
        incomplete = self._front.incomplete
        if len(incomplete) >= limits.INCOMPLETE_REQUESTS:
            incomplete.pop_oldest().refuse("socks-crowded", f"oldest of {len(incomplete) + 1} incomplete requests")
        incomplete.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Negotiate; keep what comes during the dial; drop what comes after a refusal."""
        if self._phase is _Phase.NEGOTIATING:
            self._negotiate(data)
        elif self._phase is _Phase.DIALLING:
            self._socks.receive_data(data)
            self._bound_early_data()

    def readConnectionLost(self) -> None:
        """The Client's FIN: kept during the dial, an end of everything at any other time."""
        self._ended = True
        if self._phase is not _Phase.DIALLING:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our own FIN has left; the Client's is awaited."""

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """The Client is gone, or we have closed; a dial under way is for nobody."""
        self._front.incomplete.discard(self)
        self._front.lingering.discard(self)
        if self._dial is not None:
            self._dial.cancel()

    def _negotiate(self, data: bytes) -> None:
        events = self._socks.receive_data(data)
        answer = self._socks.data_to_send()
        if answer:
            self._write(answer)
        for event in events:
            if isinstance(event, RequestReceived):
                self._open(event.address)
            elif isinstance(event, ProtocolFailed):
                self._front.refusals.refuse(event.rule, self.peer, event.why)
                self._finish(read_on=bool(answer))

    def _bound_early_data(self) -> None:
        room = self._socks.early_room
        if room > 0:
            self.transport.bufferSize = room
        else:
            self.transport.pauseProducing()

    # -- the router --

    def _open(self, address: Address) -> None:
        self._front.incomplete.discard(self)
        self._phase = _Phase.DIALLING
        self._bound_early_data()
        router = self._front.router
        self._dial = dial = defer.maybeDeferred(router.open, address.host, address.port, self._agent, self.peer)
        dial.addCallback(self._opened)
        dial.addErrback(self._failed)

    def _opened(self, opened: "Opened") -> None:
        self._dial = None
        if opened.reply != Reply.SUCCEEDED:
            self._answer_failure(opened.reply, opened.bound_host, opened.bound_port)
            return
        try:
            self._relay(opened)
        except Exception:
            # nobody else may have it yet
            cast("StreamTransport", opened.stream).abortConnection()
            raise

    def _relay(self, opened: "Opened") -> None:
        self._socks.reply(Reply.SUCCEEDED, opened.bound_host, opened.bound_port)
        transport = self.transport
        transport.bufferSize = limits.PLAIN_READ_BYTES
        if self._socks.early_room <= 0 and not self._ended:
            transport.resumeProducing()
        # the relay first, which delivers nothing yet: once the reply is out, a killed Proxy must look like a cut
        self._front.join(transport, opened.stream, self._socks.early_data)
        self._write(self._socks.data_to_send())
        if self._ended:
            # the relay's protocol stands in our place by now and has not seen the FIN
            transport.protocol.readConnectionLost()

    def _failed(self, failure: Failure) -> None:
        """The Client went away, which cancelled the dial; or a fault of our own, which ends this connection only."""
        router_failed, self._dial = self._dial is not None, None
        if failure.check(defer.CancelledError):
            return
        _log.failure("the request of a client failed", failure=failure)
        if router_failed:
            self._answer_failure(Reply.GENERAL_FAILURE)
        else:
            self.transport.abortConnection()

    # -- the end --

    def refuse(self, rule: str, why: str) -> None:
        """Close without an answer, and say so."""
        self._front.refusals.refuse(rule, self.peer, why)
        self._finish(read_on=False)

    def close(self) -> None:
        """Close now."""
        self.transport.loseConnection()

    def _answer_failure(self, code: Reply, host: str = "", port: int = 0) -> None:
        self._socks.reply(code, host, port)
        self.transport.write(self._socks.data_to_send())
        self._finish(read_on=bool(self._socks.early_data))

    def _finish(self, read_on: bool) -> None:
        """Close after what is queued.

        A close with unread bytes in the kernel is a reset, which can overtake our answer. ``read_on`` is for a Client
        from whom more may be on its way: our direction ends now, theirs is read to its end or for a moment.
        """
        self._front.incomplete.discard(self)
        self._phase = _Phase.FINISHING
        if not read_on or self._ended:
            self.transport.loseConnection()
            return
        self._front.lingering.add(self)
        self.transport.loseWriteConnection()
        self.transport.resumeProducing()


def _time_out(client: ClientProtocol) -> None:
    client.refuse("socks-timeout", "its request was not complete in time")


class ClientFactory(protocol.ServerFactory):
    """Makes the protocols of one listener: of the port of ``agent``, or (None) of the shared one."""

    noisy = False

    def __init__(self, front: SocksFront, agent: str | None = None) -> None:
        self._front = front
        self._agent = agent

    def buildProtocol(self, addr: IAddress | None) -> ClientProtocol | None:
        """The protocol for a Client from ``addr``; None (closed at once) where too many files are open."""
        client = ClientProtocol(self._front, self._agent, addr)
        refused = self._front.headroom.refusal()
        if refused is not None:
            self._front.refusals.refuse("descriptors", client.peer, refused)
            return None
        return client
