"""One stream that the Proxy opened, from its request to the reply; then a relay or an association has it."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from typing import Protocol as Interface

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.agent.datagrams import Associations
from socksfusion.agent.errors import ConnectFailed, Denied
from socksfusion.agent.messages import Messages
from socksfusion.agent.opens import Open, Opens
from socksfusion.agent.switch import DENIED
from socksfusion.log import make_logger, printable
from socksfusion.refusals import Refusals
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.messages import HeadReader, RecordError, Unknown, Unsupported, encode
from socksfusion.wire.requests import AssociateReply, AssociateRequest, ConnectReply, ConnectRequest
from socksfusion.wire.socks5 import Reply

_log = make_logger()

_Asked = TypeVar("_Asked", ConnectRequest, AssociateRequest)


class PausedByAdmin(ConnectFailed):
    """The admin's switch: nothing is opened."""

    reply = Reply.NOT_ALLOWED
    rule = "paused"


class Targets(Interface):
    """What all streams share (``agent.targets.TargetFactory``)."""

    opens: Opens
    messages: Messages
    refusals: Refusals
    join: Callable[[Any, StreamTransport], object]
    associations: Associations

    async def connect(self, request: ConnectRequest, stream: StreamTransport, opened: Open) -> ITCPTransport:
        """A connected transport to what ``request`` names; raises ``ConnectFailed``."""


@implementer(IHalfCloseableProtocol)
class TargetProtocol(Protocol):
    """One stream up to its connect reply, driven by what the Proxy sends and by the end of the dial.

    The Client's FIN during the dial is kept and passed on once there is a connection; RST cancels the dial.
    """

    transport: StreamTransport

    def __init__(self, factory: Targets) -> None:
        self._factory = factory
        self._reader: HeadReader | None = HeadReader()
        self._early = b""
        self._ended = False
        self._opening: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        """The connect request, then early data for the Target."""
        if self._reader is None:
            self._keep(data)
            return
        try:
            head = self._reader.receive_data(data)
        except RecordError as error:
            self._refuse("stream head", str(error))
            return
        if head is None:
            return
        self._reader = None
        message, rest = head
        if isinstance(message, ConnectRequest):
            self._begin(message, self._open, rest)
        elif isinstance(message, AssociateRequest):
            self._begin(message, self._associate, rest)
        elif isinstance(message, Unknown):
            self.transport.write(encode(Unsupported(what=message.tag)))
            self.transport.loseConnection()
        else:
            self._refuse("stream head", f"{type(message).__name__} is no connect request")

    def readConnectionLost(self) -> None:
        """The Client's FIN."""
        self._ended = True
        if self._reader is not None:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our own FIN has left."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is gone, and with it the reason to dial."""
        if self._opening is not None:
            self._opening.cancel()

    def _keep(self, data: bytes) -> None:
        # pausing the stream instead would hide its reset
        if len(self._early) + len(data) > limits.EARLY_DATA_BYTES:
            self._refuse("early data", f"more than {limits.EARLY_DATA_BYTES} bytes before the connect reply")
        else:
            self._early += data

    def _refuse(self, rule: str, why: str) -> None:
        self._factory.refusals.refuse(rule, carrier_of(self.transport), why)
        self.transport.abortConnection()

    def _begin(self, request: _Asked, serve: Callable[[_Asked, Open], Coroutine[Any, Any, None]], early: bytes) -> None:
        self._early = early
        # what the Target sends takes its turn as what its Client sends does at the Proxy
        self.transport.belong_to(request.client or request.scan)
        opens = self._factory.opens
        opened: Open = opens.begin(request, self.transport, lambda: self._withdraw(request, opened))
        if opens.switch.paused:
            self._tell_failure(request, opened, PausedByAdmin(DENIED))
            return
        self._opening = Deferred.fromCoroutine(serve(request, opened))
        self._opening.addErrback(self._broken)

    async def _open(self, request: ConnectRequest, opened: Open) -> None:
        try:
            target = await self._factory.connect(request, self.transport, opened)
        except ConnectFailed as failure:
            self._tell_failure(request, opened, failure)
            return
        try:
            self._join(target, opened)
        except Exception:
            target.abortConnection()
            raise

    def _join(self, target: Any, opened: Open) -> None:
        bound = target.getHost()
        stream = self.transport
        stream.write(encode(ConnectReply(reply=Reply.SUCCEEDED, host=bound.host, port=bound.port, detail="")))
        opened.answer(Reply.SUCCEEDED, early=len(self._early))
        self._factory.join(target, stream)
        self._pass_early()

    def _pass_early(self) -> None:
        """Whoever has taken the stream over gets what came before."""
        early, self._early = self._early, b""
        if early or self._ended:
            self.transport.put_back(early, ended=self._ended)

    async def _associate(self, request: AssociateRequest, opened: Open) -> None:
        try:
            await self._factory.associations.serve(request, self.transport)
        except ConnectFailed as failure:
            self._tell_failure(request, opened, failure)
            return
        opened.answer(Reply.SUCCEEDED, early=len(self._early))
        self._pass_early()

    def _withdraw(self, request: ConnectRequest | AssociateRequest, opened: Open) -> None:
        """The Agent is paused: answer what is still under way, and give it up."""
        self._tell_failure(request, opened, PausedByAdmin(DENIED))
        if self._opening is not None:
            self._opening.cancel()

    def _tell_failure(self, request: ConnectRequest | AssociateRequest, opened: Open, failure: ConnectFailed) -> None:
        if opened.answered:
            return
        factory, stream = self._factory, self.transport
        detail = printable(str(failure))
        opened.answer(failure.reply, detail)
        if isinstance(failure, Denied):
            opened.decided(failure.decided)
        elif failure.rule:
            opened.decided(failure.rule)
        asked = "an association"
        if isinstance(request, AssociateRequest):
            stream.write(encode(AssociateReply(reply=failure.reply, detail=detail)))
        else:
            asked = f"{request.host} port {request.port}"
            stream.write(encode(ConnectReply(reply=failure.reply, host="", port=0, detail=detail)))
            if failure.reply is Reply.SUCCEEDED:
                # the Target accepted and reset: so does the stream, after the reply that says the first
                stream.reset_after_data()
                return
            if failure.tried:
                factory.messages.unreachable(request.host, request.port)
        if failure.rule:
            factory.refusals.refuse(failure.rule, carrier_of(self.transport), f"{asked}: {failure}")
        stream.loseConnection()

    def _broken(self, failure: Failure) -> None:
        """A stray exception ends its own stream only (attacks.md, row J3)."""
        if failure.check(CancelledError) is None:
            _log.failure("a connection to a target broke", failure=failure)
            self.transport.abortConnection()


def carrier_of(stream: StreamTransport) -> str:
    """The Proxy at the other end of the stream's carrier, for logs."""
    return str(stream.getPeer().carrier)
