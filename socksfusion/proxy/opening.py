"""One Client's request on its way: a stream, the request's record on it, and the Agent's reply."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from socksfusion.log import printable
from socksfusion.proxy.scan_record import ScanRecord
from socksfusion.tunnel.stream import CarrierLost, StreamTransport
from socksfusion.wire.messages import HeadReader, RecordError, encode
from socksfusion.wire.requests import AssociateReply, AssociateRequest, ConnectReply, ConnectRequest
from socksfusion.wire.socks5 import Reply

Request: TypeAlias = ConnectRequest | AssociateRequest


@dataclass(frozen=True, slots=True)
class Opened:
    """How an opening ended: ``stream`` is there exactly where ``reply`` is ``Reply.SUCCEEDED``.

    The bound address is the Agent's own on its connection to the Target (empty and 0 where there is none). ``detail``
    tells people why not. ``early`` bytes of the Target's came with the reply.
    """

    reply: Reply
    bound_host: str = ""
    bound_port: int = 0
    stream: StreamTransport | None = None
    detail: str = ""
    early: int = 0
    record: ScanRecord | None = None
    """Of datagrams: what their scan has found."""


@dataclass(frozen=True, slots=True)
class Associated:
    """How a request for datagrams ended: ``stream`` carries them (``wire.datagrams``) where ``reply`` is 0."""

    reply: Reply
    stream: StreamTransport | None = None
    detail: str = ""
    record: ScanRecord | None = None
    """What its scan has found: datagrams that came to nothing belong there."""


class Opening(Protocol):
    """Asks an Agent for one connection, or for datagrams; ``result`` fires once, with an :class:`Opened`, and is gone.

    Between :meth:`expect_answer` and the reply there may be ``outer_seconds``. Cancelling ``result`` resets the stream,
    which cancels the Agent's dial; before there is one it calls ``withdrawn``, which whoever keeps it waiting has set.
    ``carrier_lost`` is called where the carrier is lost before the reply: the Agent may have dialled, but no byte of
    the Client's has left, and the same may be asked for again.
    """

    transport: StreamTransport

    def __init__(self, clock: IReactorTime, outer_seconds: float) -> None:
        self.result: Deferred[Opened] = Deferred(self._cancelled)
        self.withdrawn: Callable[[], object] | None = None
        self.carrier_lost: Callable[[], object] | None = None
        self.asked = False
        """Whether an Agent has been asked, and was not lost meanwhile."""
        self._clock = clock
        self._outer_seconds = outer_seconds
        self._request: Request | None = None
        self._reader = HeadReader()
        self._limit: IDelayedCall | None = None
        self._done = False

    @property
    def done(self) -> bool:
        """Whether ``result`` has fired, or was cancelled."""
        return self._done

    def finish(self, opened: Opened) -> None:
        """Fire ``result``; only the first call counts."""
        if self._done:
            return
        self._done = True
        self._let_go()
        result = self.result
        del self.result
        result.callback(opened)

    def expect_answer(self) -> None:
        """An Agent serves that will be asked: from now on its time runs, also while a stream has to be waited for."""
        self._stop_limit()
        self._limit = self._clock.callLater(self._outer_seconds, self._too_late)

    def expect_nothing(self) -> None:
        """There is no Agent to be asked, for now."""
        self._stop_limit()

    def begin(self, transport: StreamTransport, request: Request) -> None:
        """The stream is there: ask."""
        self._request = request
        self._reader = HeadReader()
        self.asked = True
        transport.protocol = self
        self.makeConnection(transport)  # type: ignore[no-untyped-call]
        transport.write(encode(request))

    def dataReceived(self, data: bytes) -> None:
        """The reply, maybe with the Target's first bytes behind it."""
        if self._done:
            return
        try:
            head = self._reader.receive_data(data)
        except RecordError as error:
            self._broken(str(error))
            return
        if head is None:
            return
        message, rest = head
        expected: type[ConnectReply | AssociateReply]
        expected = ConnectReply if isinstance(self._request, ConnectRequest) else AssociateReply
        if not isinstance(message, expected):
            self._broken(f"{type(message).__name__} where the reply to the request belongs")
            return
        if message.reply != Reply.SUCCEEDED:
            self.transport.loseConnection()
            self.finish(Opened(_reply(message.reply), detail=printable(message.detail)))
            return
        host, port = (message.host, message.port) if isinstance(message, ConnectReply) else ("", 0)
        self.finish(Opened(Reply.SUCCEEDED, host, port, self.transport, early=len(rest)))
        if rest:
            self.transport.put_back(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream ended before the reply: the dial may or may not have been made."""
        if isinstance(reason.value, CarrierLost) and self.carrier_lost is not None and not self._done:
            self.asked = False
            self.carrier_lost()
            return
        why = "the Proxy ended it" if reason.check(ConnectionAborted) else "the agent was lost"
        self.finish(Opened(Reply.GENERAL_FAILURE, detail=f"{why} during the dial"))

    def _broken(self, why: str) -> None:
        self.finish(Opened(Reply.GENERAL_FAILURE, detail=f"the agent's reply is broken: {printable(why)}"))
        self.transport.abortConnection()

    def _too_late(self) -> None:
        self._leave()
        self.finish(Opened(Reply.GENERAL_FAILURE, detail=f"the agent gave no answer within {self._outer_seconds:g} s"))

    def _cancelled(self, _result: Deferred[Opened]) -> None:
        self._done = True
        self._leave()
        self._let_go()

    def _leave(self) -> None:
        if self.asked:
            self.transport.abortConnection()
        elif self.withdrawn is not None:
            self.withdrawn()

    def _let_go(self) -> None:
        # what refers back to us would wait for the garbage collector
        self._stop_limit()
        self.withdrawn = self.carrier_lost = None

    def _stop_limit(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()


def _reply(code: int) -> Reply:
    """The Agent's code; one that SOCKS does not know means that something of ours went wrong."""
    try:
        return Reply(code)
    except ValueError:
        return Reply.GENERAL_FAILURE
