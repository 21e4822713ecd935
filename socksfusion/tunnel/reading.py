"""One direction of a stream: what the peer sends, until the stream's protocol has taken it."""

from collections import deque
from typing import Any, Protocol

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.python.failure import Failure

from socksfusion.tunnel.stream_carrier import StreamCarrier
from socksfusion.wire.yamux.stream import Stream


class Reader(Protocol):
    """What the reading direction asks of its transport."""

    protocol: IProtocol | None

    def broken(self, failure: Failure) -> None:
        """The protocol has raised."""

    def end_reached(self) -> None:
        """The peer's FIN has come, and the protocol knows no half-close."""

    def all_taken(self) -> None:
        """Nothing waits and nothing is paused: what comes after the data may be told."""


class Reading:
    """Driven by three kinds of sources:

    - the carrier: ``data_received`` and ``ended``;
    - the protocol: ``paused`` and ``deliver``, through its transport;
    - the transport: ``stop`` and ``put_back``.

    Credit goes back for what the protocol has taken, and for nothing else. ``received`` is all bytes that came.
    """

    __slots__ = (
        "_carrier",
        "_delivering",
        "_early",
        "_end_told",
        "_reader",
        "_stream",
        "_unread",
        "ended_by_peer",
        "paused",
        "received",
        "stopped",
    )

    def __init__(self, stream: Stream, reader: Reader, carrier: StreamCarrier) -> None:
        self._stream = stream
        self._reader = reader
        self._carrier = carrier
        # what came and was not delivered (None: nothing, for an empty deque is large); before it what was delivered and
        # put back, whose credit is given back already
        self._unread: deque[bytes] | None = None
        self._early = b""
        self._delivering = False
        self._end_told = False
        self.paused = False
        self.stopped = False
        """Whether nothing is delivered any more."""
        self.ended_by_peer = False
        """Whether the peer's FIN has come."""
        self.received = 0

    @property
    def waiting(self) -> int:
        """Bytes received that the protocol has not taken."""
        return len(self._early) + sum(map(len, self._unread or ()))

    @property
    def end_waiting(self) -> bool:
        """Whether the peer's FIN has come and the protocol has yet to take what came before."""
        return self.ended_by_peer and not self._end_told

    def data_received(self, data: bytes) -> None:
        """A piece of the peer's data."""
        if self.stopped:
            # of the same read as what the protocol ended itself for
            return
        self.received += len(data)
        if self.paused or self._unread or self._early or self._delivering:
            if self._unread is None:
                self._unread = deque()
            self._unread.append(data)
            return
        self._hand_over(data, len(data))
        if self._early or self.stopped:
            self.deliver()

    def ended(self) -> None:
        """The peer's FIN."""
        self.ended_by_peer = True
        self.deliver()

    def put_back(self, data: bytes, ended: bool) -> None:
        """Deliver ``data``, and where ``ended`` the peer's FIN, once more, ahead of anything else."""
        if self.stopped:
            return
        self._early += data
        if ended:
            self._end_told = False
        self.deliver()

    def stop(self) -> None:
        """Deliver no more; what waits is dropped."""
        self.stopped = True
        self.paused = False
        self._unread = None
        self._early = b""
        self._stream.stop_receiving()

    def deliver(self) -> None:
        """Give the protocol what waits, as long as it does not pause."""
        if self._delivering:
            return
        while not self.paused and (self._early or self._unread):
            if self._early:
                early, self._early = self._early, b""
                self._hand_over(early, 0)
            elif self._unread:
                data = self._unread.popleft()
                if not self._unread:
                    self._unread = None
                self._hand_over(data, len(data))
        self._carrier.flush_soon()
        if self.paused:
            return
        if self.end_waiting and not self.stopped:
            self._tell_end()
        self._reader.all_taken()

    def _hand_over(self, data: bytes, credit: int) -> None:
        self._delivering = True
        try:
            self._reader.protocol.dataReceived(data)  # type: ignore[union-attr]
        except Exception:
            self._reader.broken(Failure())
        self._delivering = False
        if credit:
            self._stream.consumed(credit, self._carrier.seconds())

    def _tell_end(self) -> None:
        self._end_told = True
        half_closeable: Any = IHalfCloseableProtocol(self._reader.protocol, None)
        if half_closeable is None:
            self._reader.end_reached()
            return
        self._delivering = True
        try:
            half_closeable.readConnectionLost()
        except Exception:
            self._reader.broken(Failure())
        self._delivering = False
