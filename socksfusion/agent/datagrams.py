"""Datagrams at the Agent: a stream that brings them for many targets, and takes the targets' answers back.

Everything is bounded, and what is above a bound is dropped and counted: datagrams may get lost, memory may not grow.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import descriptors, limits
from socksfusion.agent.datagram_target import DatagramTarget
from socksfusion.agent.dial import NoDescriptors, failure_of
from socksfusion.agent.errors import ConnectFailed
from socksfusion.agent.source import NO_SOURCES, Sources
from socksfusion.agent.turns import Turns
from socksfusion.log import make_logger, printable
from socksfusion.refusals import Refusals
from socksfusion.tunnel.bandwidth import Bandwidth, DatagramFlow
from socksfusion.tunnel.datagram_room import DatagramRoom, Share
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.tunnel.udp import DatagramReceiver, UDPSocket, connected_socket
from socksfusion.wire.datagrams import Datagram, DatagramError, DatagramReader, Kind, encode_record
from socksfusion.wire.messages import encode
from socksfusion.wire.requests import AssociateReply, AssociateRequest
from socksfusion.wire.socks5 import Reply
from socksfusion.wire.yamux.rates import Rate

_log = make_logger()


class Resolves(Interface):
    """:class:`socksfusion.agent.names.Resolver`, or what stands in for it."""

    def resolve(self, name: str, seconds: float) -> Awaitable[list[str]]:
        """Addresses of ``name``."""


class Judges(Interface):
    """The policy, asked for each datagram."""

    def __call__(self, addresses: list[str], host: str, port: int, request: AssociateRequest, peer: str) -> list[str]:
        """Those of ``addresses``, which ``host`` means, that ``peer``'s ``request`` may reach at ``port`` now.

        Raises :class:`ConnectFailed` where there is none.
        """


class NoRoomForTarget(ConnectFailed):
    """The association talks to too many addresses at once: nothing is known about this one."""


class Associations:
    """Serves the streams on which the Proxy asks for datagrams.

    ``reactor`` reads sockets (``IReactorFDSet``) and keeps time (``IReactorTime``); ``connect`` makes a socket, which
    sends from one of ``sources``. An association takes a turn of ``turns`` as a dial does and counts as one open
    connection; its datagrams count in ``bandwidth``.
    """

    def __init__(
        self,
        reactor: Any,
        judge: Judges,
        resolver: Resolves,
        refusals: Refusals,
        turns: Turns,
        sources: Sources = NO_SOURCES,
        bandwidth: Bandwidth | None = None,
        connect: Callable[[Any, str, int, DatagramReceiver, str | None], UDPSocket] = connected_socket,
    ) -> None:
        self.reactor = reactor
        self.judge = judge
        self.resolver = resolver
        self.refusals = refusals
        self.turns = turns
        self.sources = sources
        self.bandwidth = bandwidth
        self.connect = connect
        self.headroom = descriptors.for_work()
        self.room = DatagramRoom(reactor.seconds)

    async def serve(self, request: AssociateRequest, stream: StreamTransport) -> None:
        """Answer ``request``, the head of ``stream``, in its turn, and take the stream over for good.

        :raises ConnectFailed: its turn did not come.
        """
        turn = await self.turns.take(request.client or request.scan)
        # nothing has to be dialled
        turn.dialled()
        stream.when_lost(turn.stream_lost)
        association = Association(self, request)
        stream.protocol = association
        association.makeConnection(stream)  # type: ignore[no-untyped-call]


@implementer(IHalfCloseableProtocol)
class Association(Protocol):
    """One stream of datagrams (a ``TargetOwner``), from its reply on.

    Driven by the Proxy's records, its targets, and a timer that closes those that are idle. Its end, whoever ends it,
    closes every socket at once.
    """

    transport: StreamTransport
    _share: Share

    def __init__(self, associations: Associations, request: AssociateRequest) -> None:
        self._shared = associations
        self._request = request
        self._reader = DatagramReader()
        self._targets: dict[tuple[str, int], DatagramTarget] = {}
        self._held_bytes = 0
        self._rate = Rate(limits.ASSOCIATION_DATAGRAMS_PER_SECOND, 1.0)
        self._timer: IDelayedCall | None = None
        bandwidth = associations.bandwidth
        self._up = bandwidth.up.datagrams() if bandwidth is not None else None
        self._down = bandwidth.down.datagrams() if bandwidth is not None else None

    # -- the Proxy -------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Datagrams may come."""
        self._share = self._shared.room.share(self.transport)
        self.transport.write(encode(AssociateReply(reply=Reply.SUCCEEDED, detail="")))

    def dataReceived(self, data: bytes) -> None:
        """Records with datagrams to send."""
        try:
            records = self._reader.receive_data(data)
        except DatagramError as error:
            self._shared.refusals.refuse("stream datagrams", self._peer(), str(error))
            self.transport.abortConnection()
            return
        for record in records:
            if record.kind is Kind.DATAGRAM and self.connected:
                self._pass(self._up, partial(self._send, record.datagram), len(record.datagram.payload))

    def readConnectionLost(self) -> None:
        """The Client has left."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our own FIN has left."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is gone, and with it all that it was for."""
        self.connected = 0
        for flow in (self._up, self._down):
            if flow is not None:
                flow.close()
        targets, self._targets = self._targets, {}
        for target in targets.values():
            target.close()
        self._share.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self, datagram: Datagram) -> None:
        key = datagram.host, datagram.port
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= limits.ASSOCIATION_TARGETS and not self._make_room():
                why = f"the association talks to {limits.ASSOCIATION_TARGETS} addresses already"
                self._tell("udp-targets", datagram.host, datagram.port, NoRoomForTarget(why))
                return
            target = self._targets[key] = DatagramTarget(self, datagram.host, datagram.port)
        self._expect_silence(limits.TARGET_IDLE_SECONDS)
        target.send(datagram.payload)

    def _make_room(self) -> bool:
        silent = min(self._targets.values(), key=lambda target: target.last_active)
        if self.seconds() - silent.last_active < limits.TARGET_SILENT_SECONDS:
            return False
        self._close(silent)
        return True

    # -- TargetOwner -----------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """The reactor's clock."""
        now: float = self._shared.reactor.seconds()
        return now

    def resolve(self, name: str) -> Awaitable[list[str]]:
        """By the Agent's resolver."""
        return self._shared.resolver.resolve(name, limits.RESOLVER_SECONDS)

    def allowed(self, addresses: list[str], host: str, port: int) -> list[str]:
        """By the Agent's policy, narrowed by the request."""
        return self._shared.judge(addresses, host, port, self._request, self._peer())

    def open_socket(self, address: str, port: int, receiver: DatagramReceiver) -> UDPSocket:
        """As long as there are descriptors."""
        refused = self._shared.headroom.refusal()
        if refused is not None:
            raise NoDescriptors(refused)
        try:
            source = self._shared.sources.towards(address)
            return self._shared.connect(self._shared.reactor, address, port, receiver, source)
        except OSError as error:
            raise failure_of(error) from error

    def hold(self, size: int) -> bool:
        """Within ``limits.ASSOCIATION_QUEUE_BYTES``, and what all may hold."""
        if self._held_bytes + size > limits.ASSOCIATION_QUEUE_BYTES or not self._share.take(size):
            return False
        self._held_bytes += size
        return True

    def release(self, size: int) -> None:
        """There is room again."""
        self._held_bytes -= size
        self._share.give(size)

    def received(self, address: str, port: int, payload: bytes) -> None:
        """To the Proxy, unless there is no room: a flood of answers ends here."""
        if self._rate.exceeded(self.seconds()):
            self.dropped("udp-rate", f"more than {limits.ASSOCIATION_DATAGRAMS_PER_SECOND} a second come")
        else:
            datagram = Datagram(address, port, payload)
            self._pass(self._down, partial(self._write, Kind.DATAGRAM, datagram), len(payload))

    def dropped(self, rule: str, why: str) -> None:
        """Count it."""
        self._shared.refusals.refuse(rule, self._peer(), why)

    def failed(self, target: DatagramTarget, failure: ConnectFailed) -> None:
        """Tell the Proxy; the next datagram to it begins anew."""
        self._targets.pop((target.host, target.port), None)
        if self.connected:
            self._tell(failure.rule, target.host, target.port, failure)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _pass(self, flow: DatagramFlow | None, action: Callable[[], None], size: int) -> None:
        """Do ``action`` with a datagram of ``size`` bytes as the Agent's bandwidth allows."""
        if flow is None:
            action()
            return

        def in_turn() -> None:
            self._share.give(size)
            action()

        if not self._share.take(size):
            self.dropped("udp-queue", "too many datagrams wait for this Agent's bandwidth")
        elif not flow.send(in_turn, size):
            self._share.give(size)
            self.dropped("udp-bandwidth", "more datagrams wait for this Agent's bandwidth than pass soon")

    def _peer(self) -> str:
        return str(self.transport.getPeer().carrier)

    def _tell(self, rule: str, host: str, port: int, failure: ConnectFailed) -> None:
        detail = printable(str(failure))
        if rule:
            self._shared.refusals.refuse(rule, self._peer(), f"{host} port {port}: {detail}")
        self._write(Kind.UNDELIVERED, Datagram(host, port, bytes((failure.reply,)) + detail.encode()))

    def _write(self, kind: Kind, datagram: Datagram) -> None:
        try:
            record = encode_record(kind, datagram)
        except DatagramError as error:
            self.dropped(error.rule, str(error))
            return
        full = self._share.refusal(len(record))
        if full is not None:
            self.dropped("udp-queue", full)
        else:
            self.transport.write(record)

    def _expect_silence(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._shared.reactor.callLater(seconds, self._close_idle)

    def _close_idle(self) -> None:
        self._timer = None
        now = self.seconds()
        for target in list(self._targets.values()):
            if now - target.last_active >= limits.TARGET_IDLE_SECONDS:
                self._close(target)
        if self._targets:
            oldest = min(target.last_active for target in self._targets.values())
            self._expect_silence(oldest + limits.TARGET_IDLE_SECONDS - now)

    def _close(self, target: DatagramTarget) -> None:
        del self._targets[target.host, target.port]
        target.close()
