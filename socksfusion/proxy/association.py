"""One association: a Client's datagrams through an Agent, for as long as the Client's TCP connection stands.

The relay's socket takes datagrams from the Client's own address alone (attacks.md, row D1). Everything is bounded, and
what is above a bound is dropped and counted.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final
from typing import Protocol as Interface

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.log import make_logger, printable
from socksfusion.proxy.access import Access
from socksfusion.proxy.opening import Associated
from socksfusion.proxy.scan_record import ScanRecord
from socksfusion.refusals import Refusals
from socksfusion.tunnel.datagram_room import DatagramRoom, Share
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.tunnel.udp import DatagramReceiver, UDPSocket
from socksfusion.wire.datagrams import (
    Datagram,
    DatagramError,
    DatagramReader,
    Kind,
    decode_datagram,
    encode_datagram,
    encode_record,
)
from socksfusion.wire.socks5 import Reply
from socksfusion.wire.yamux.rates import Rate

_log = make_logger()

_RULES: Final = {
    Reply.REFUSED: "udp-refused",
    Reply.NOT_ALLOWED: "udp-denied",
    Reply.NETWORK_UNREACHABLE: "udp-unreachable",
    Reply.HOST_UNREACHABLE: "udp-unreachable",
}
"""Under which rule the Agent's failures are counted; any other reply is ``udp-not-tested``."""


class Client(Interface):
    """The protocol of the Client's TCP connection, which has read its request and waits for the answer."""

    def answer(self, code: Reply, host: str = "", port: int = 0) -> None:
        """Tell the Client; any code but 0 ends its connection."""

    def close(self) -> None:
        """End its connection."""


class Associates(Interface):
    """What finds the Agent and asks it (``proxy.routing.Router``)."""

    def associate(self, access: Access) -> Deferred[Associated]:
        """A stream for datagrams; never fails, and cancelling it withdraws the question."""


class Association:
    """A Client's relay, from its request on, driven by five kinds of sources:

    - the router, which tells whether there is a stream to an Agent;
    - the Client's datagrams (``datagram_received``), and the end of its TCP connection (``client_lost``);
    - the stream, with records of the Agent's, and its end;
    - the kernel, which may fail the relay's socket (``socket_failed``);
    - a timer, which ends it when nothing has come or gone for ``limits.ASSOCIATION_IDLE_SECONDS``.

    ``here`` is the address at which the relay listens, ``there`` the Client's, both literals; ``port`` is what the
    Client announced to send from: None where it announced nothing, and then the first that sends a whole datagram
    counts. ``bind`` makes the relay's socket, ``room`` is shared by all associations.
    """

    def __init__(
        self,
        clock: IReactorTime,
        refusals: Refusals,
        bind: Callable[[str, DatagramReceiver], UDPSocket],
        room: DatagramRoom,
        client: Client,
        access: Access,
        *,
        here: str,
        there: str,
        port: int | None,
    ) -> None:
        self._clock = clock
        self._refusals = refusals
        self._bind = bind
        self._room = room
        self._client = client
        self._access = access
        self._here = here
        self._there = there
        self._port = port
        self._asking: Deferred[None] | None = None
        self._stream: StreamTransport | None = None
        self._share: Share | None = None
        self._socket: UDPSocket | None = None
        self._record: ScanRecord | None = None
        self._timer: IDelayedCall | None = None
        self._to_target = Rate(limits.ASSOCIATION_DATAGRAMS_PER_SECOND, 1.0)
        self._to_client = Rate(limits.ASSOCIATION_DATAGRAMS_PER_SECOND, 1.0)
        self._told: set[tuple[str, int]] = set()
        self._last_active = clock.seconds()
        self.counts: Counter[str] = Counter()
        """Datagrams ``sent``, ``received``, ``dropped``, ``undelivered``."""
        self.over = False

    def begin(self, router: Associates) -> None:
        """Ask for a stream, and answer the Client."""
        self._asking = router.associate(self._access).addCallback(self._associated)
        self._asking.addErrback(self._broken)

    def client_lost(self) -> None:
        """The Client's TCP connection is gone, and with it the association (RFC 1928, section 7)."""
        self.end("its TCP connection has ended")

    def end(self, why: str) -> None:
        """Close the relay, the stream and the TCP connection. Harmless when repeated."""
        if self.over:
            return
        self.over = True
        if self._asking is not None:
            self._asking.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is None or self._stream is None:
            return
        self._socket.close()
        # in order: what was sent just before the end still goes
        self._stream.loseConnection()
        self._client.close()
        counts = {name: self.counts[name] for name in ("sent", "received", "dropped", "undelivered")}
        _log.info(
            "association of {peer} is over ({why}): {counts}",
            peer=self._access.peer,
            why=why,
            counts=" ".join(f"{name}={count}" for name, count in counts.items()),
        )

    # -- the router --------------------------------------------------------------------------------------------------

    def _associated(self, answer: Associated) -> None:
        self._asking = None
        if answer.stream is None:
            self._refuse(answer.reply)
            return
        self._record = answer.record
        try:
            relay = self._bind(self._here, self)
        except OSError as error:
            answer.stream.abortConnection()
            self._refusals.refuse("udp-relay", self._access.peer, f"no UDP port at {self._here}: {error}")
            self._refuse(Reply.GENERAL_FAILURE)
            return
        self._socket, self._stream = relay, answer.stream
        self._share = self._room.share(self._stream)
        if self._record is not None:
            self._record.associated(self._stream)
        self._stream.protocol = _Records(self)
        self._last_active = self._clock.seconds()
        self._timer = self._clock.callLater(limits.ASSOCIATION_IDLE_SECONDS, self._look)
        self._client.answer(Reply.SUCCEEDED, relay.host, relay.port)

    def _refuse(self, reply: Reply) -> None:
        self.over = True
        self._client.answer(reply)

    def _broken(self, failure: Failure) -> None:
        """A fault of our own ends this association only (attacks.md, row J3)."""
        if failure.check(CancelledError) is None:
            _log.failure("an association broke", failure=failure)
            self._asking = None
            self.end("an error of the Proxy's own")
            self._client.close()

    # -- the Client's datagrams --------------------------------------------------------------------------------------

    def datagram_received(self, payload: bytes, source: tuple[str, int]) -> None:
        """To the Agent, where it is the Client's and within the bounds."""
        if self._stream is None or self._share is None or self.over:
            return
        host, port = source
        if host != self._there or self._port not in (None, port):
            self._drop("udp-source", f"a datagram of {printable(host)} port {port}, which is not this Client's")
            return
        if self._to_target.exceeded(self._clock.seconds()):
            self._drop("udp-rate", f"more than {limits.ASSOCIATION_DATAGRAMS_PER_SECOND} datagrams a second")
            return
        try:
            record = encode_record(Kind.DATAGRAM, decode_datagram(payload))
        except DatagramError as error:
            self._drop(error.rule, str(error))
            return
        self._port = port
        self._last_active = self._clock.seconds()
        full = self._share.refusal(len(record))
        if full is not None:
            self._drop("udp-queue", full)
            return
        self.counts["sent"] += 1
        self._stream.write(record)

    def socket_failed(self, error: OSError) -> None:
        """The relay's socket is of no use any more."""
        self.end(f"its socket failed: {error}")

    # -- the Agent's records -----------------------------------------------------------------------------------------

    def record_received(self, kind: Kind, datagram: Datagram) -> None:
        """To the Client, or into the log and the scan's record: SOCKS has no field for what was not delivered."""
        if kind is Kind.UNDELIVERED:
            self._undelivered(datagram)
            return
        if self._port is None or self._socket is None:
            self._drop("udp-unasked", f"the agent sends a datagram of {datagram.host}, and none has gone there")
            return
        if self._to_client.exceeded(self._clock.seconds()):
            self._drop("udp-rate", f"more than {limits.ASSOCIATION_DATAGRAMS_PER_SECOND} datagrams a second come back")
            return
        self._last_active = self._clock.seconds()
        try:
            self._socket.send_to(encode_datagram(datagram), self._there, self._port)
        except DatagramError as error:
            self._drop(error.rule, str(error))
        except OSError as error:
            self._drop("udp-busy", f"not sent to the Client: {error}")
        else:
            self.counts["received"] += 1

    def _undelivered(self, datagram: Datagram) -> None:
        self.counts["undelivered"] += 1
        try:
            reply = Reply(datagram.payload[0] if datagram.payload else Reply.GENERAL_FAILURE)
        except ValueError:
            reply = Reply.GENERAL_FAILURE
        if reply is Reply.SUCCEEDED:
            reply = Reply.GENERAL_FAILURE
        detail = printable(datagram.payload[1:])
        host, port = datagram.host, datagram.port
        self._refusals.refuse(
            _RULES.get(reply, "udp-not-tested"), self._access.peer, f"{host} port {port} (UDP): {detail}"
        )
        target = host, port
        if self._record is None or target in self._told or len(self._told) >= limits.ASSOCIATION_TARGETS_TOLD:
            return
        self._told.add(target)
        self._record.result(self._access, host, port, reply, f"UDP: {detail}")

    def stream_gone(self, why: str) -> None:
        """With all that waited on it."""
        self.end(f"its stream was lost: {why}")
        if self._share is not None:
            self._share.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _drop(self, rule: str, why: str) -> None:
        self.counts["dropped"] += 1
        self._refusals.refuse(rule, self._access.peer, why)

    def _look(self) -> None:
        left = self._last_active + limits.ASSOCIATION_IDLE_SECONDS - self._clock.seconds()
        self._timer = None
        if left <= 0:
            self.end(f"no datagram for {limits.ASSOCIATION_IDLE_SECONDS:g} s")
        else:
            self._timer = self._clock.callLater(left, self._look)


@implementer(IHalfCloseableProtocol)
class _Records(Protocol):
    """The stream's protocol."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self._reader = DatagramReader()

    def dataReceived(self, data: bytes) -> None:
        """The Agent's records."""
        try:
            records = self._reader.receive_data(data)
        except DatagramError as error:
            self._association.end(f"the agent's records are broken: {error}")
            return
        for record in records:
            if not self._association.over:
                self._association.record_received(record.kind, record.datagram)

    def readConnectionLost(self) -> None:
        """The Agent's FIN."""
        self._association.end("the agent has ended it")

    def writeConnectionLost(self) -> None:
        """Our own FIN has left."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is gone: its carrier, or the right to it."""
        self._association.stream_gone(reason.getErrorMessage())
