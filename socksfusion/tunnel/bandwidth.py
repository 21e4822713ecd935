"""A limit of bytes a second over all relays: who goes above it is stopped from reading, and all go on in turns.

Nothing of a relay's is dropped and no end is brought forward: a stopped socket or stream makes its sender wait, as a
slow reader would. The limit is asked once a read, and not at all where there is none. Datagrams wait in a short queue,
which has its turns among the relays; what finds no room in it is for whoever sent it to drop.
"""

from collections import deque
from collections.abc import Callable
from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from socksfusion import limits
from socksfusion.bucket import Bucket


class TakesTurns(Interface):
    """What the limit stops and lets go on."""

    held: bool
    """Whether the limit stops it."""
    last_bytes: int
    """The best guess at what it will use in its turn."""

    def hold(self) -> None:
        """The limit is reached."""

    def release(self) -> None:
        """Its turn has come."""


@implementer(IPushProducer)
class Flow:
    """One direction of one relay: it stands while its consumer wants it to, or while the limit does.

    Made by :meth:`Throttle.flow`; it takes the place of the producer that the relay would register.
    """

    __slots__ = ("_consumer_waits", "_pause", "_resume", "_throttle", "_write", "held", "last_bytes")

    def __init__(
        self,
        throttle: "Throttle",
        write: Callable[[bytes], None],
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._throttle = throttle
        self._write = write
        self._pause = pause
        self._resume = resume
        self._consumer_waits = False
        self.held = False
        """Whether the limit stops it."""
        self.last_bytes = 0
        """What it read last: the best guess at what it will read next."""

    def received(self, data: bytes) -> None:
        """Pass ``data`` on, and count it."""
        self._write(data)
        self._throttle.used(self, len(data))

    def pauseProducing(self) -> None:
        """The consumer has enough."""
        if not self._consumer_waits:
            self._consumer_waits = True
            if not self.held:
                self._pause()

    def resumeProducing(self) -> None:
        """The consumer has room."""
        if self._consumer_waits:
            self._consumer_waits = False
            if not self.held:
                self._resume()

    def stopProducing(self) -> None:
        """Nothing yet: as of a relay's other producers, the protocol's ``connectionLost`` follows."""

    def hold(self) -> None:
        """The limit is reached."""
        self.held = True
        if not self._consumer_waits:
            self._pause()

    def release(self) -> None:
        """It may read again."""
        self.held = False
        if not self._consumer_waits:
            self._resume()


class DatagramFlow:
    """One direction of one association: at once below the limit, else in turns from a queue. Made by a Throttle.

    The queue holds what passes in ``limits.BANDWIDTH_DATAGRAM_SECONDS``: an old datagram is worth less than a new one.
    It holds one datagram at least, however low the limit, and never more than ``limits.ASSOCIATION_QUEUE_BYTES``.
    """

    __slots__ = ("_most", "_queue", "_queued", "_throttle", "_turn", "held", "last_bytes")

    def __init__(self, throttle: "Throttle", bytes_per_second: float) -> None:
        self._throttle = throttle
        wait_bytes = int(bytes_per_second * limits.BANDWIDTH_DATAGRAM_SECONDS)
        self._most = min(limits.ASSOCIATION_QUEUE_BYTES, wait_bytes)
        self._turn = read_bytes(bytes_per_second)
        self._queue: deque[tuple[Callable[[], None], int]] = deque()
        self._queued = 0
        self.held = False
        self.last_bytes = 0

    def send(self, action: Callable[[], None], size: int) -> bool:
        """Call ``action``, which passes ``size`` bytes on, now or in turn; False: there is no room for it to wait."""
        if not self.held and self._throttle.is_free():
            action()
            self._throttle.spend(size)
            return True
        if self._queue and self._queued + size > self._most:
            return False
        self._queue.append((action, size))
        self._queued += size
        self._wait()
        return True

    def hold(self) -> None:
        """The limit is reached."""
        self.held = True

    def release(self) -> None:
        """Pass on about as much as a relay reads in its turn."""
        self.held = False
        left = self._turn
        while self._queue and left > 0:
            action, size = self._queue.popleft()
            self._queued -= size
            left -= size
            action()
            self._throttle.spend(size)
        if self._queue:
            self._wait()

    def close(self) -> None:
        """Forget what waits."""
        self._queue.clear()
        self._queued = 0

    def _wait(self) -> None:
        if not self.held:
            self.last_bytes = min(self._queued, self._turn)
            self._throttle.wait(self)


class Throttle:
    """``bytes_per_second`` shared by all flows of one direction; each that wants more than there is gets its turn."""

    def __init__(self, clock: IReactorTime, bytes_per_second: float) -> None:
        self._clock = clock
        self._bucket = Bucket(clock.seconds, bytes_per_second, bytes_per_second * limits.BANDWIDTH_BURST_SECONDS)
        self._held: deque[TakesTurns] = deque()
        self._timer: IDelayedCall | None = None

    def flow(self, end: Any, pause: Callable[[], None], resume: Callable[[], None]) -> Flow:
        """Have what ``end``, a protocol, receives counted; ``pause`` and ``resume`` stop and start its transport."""
        flow = Flow(self, end.dataReceived, pause, resume)
        end.dataReceived = flow.received
        return flow

    def used(self, flow: Flow, size: int) -> None:
        """``flow`` has read ``size`` bytes: it waits where that was too much, or where others wait already."""
        flow.last_bytes = size
        if (self._bucket.spend(size) < 0 or self._held) and not flow.held:
            self.wait(flow)

    def datagrams(self) -> DatagramFlow:
        """Have datagrams counted, and wait for their turn."""
        return DatagramFlow(self, self._bucket.rate)

    def is_free(self) -> bool:
        """Whether who comes now needs no turn."""
        return not self._held and self._bucket.tokens() > 0

    def spend(self, size: int) -> None:
        """So many bytes have passed."""
        self._bucket.spend(size)

    def wait(self, flow: TakesTurns) -> None:
        """``flow`` goes on in its turn."""
        self._held.append(flow)
        flow.hold()
        self._wait()

    def _wait(self) -> None:
        if self._timer is None:
            seconds = max(self._bucket.seconds_until(1), limits.BANDWIDTH_TICK_SECONDS)
            self._timer = self._clock.callLater(seconds, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        left = self._bucket.tokens()
        try:
            # those that are stopped again meanwhile come behind all that wait now
            for _ in range(len(self._held)):
                if left <= 0:
                    break
                flow = self._held.popleft()
                left -= flow.last_bytes
                flow.release()
        finally:
            # a stray exception must not leave the others waiting for ever (attacks.md, row J3)
            if self._held:
                self._wait()


class Bandwidth:
    """The same limit for each of the two directions."""

    def __init__(self, clock: IReactorTime, bytes_per_second: float) -> None:
        self.up = Throttle(clock, bytes_per_second)
        """From streams to TCP."""
        self.down = Throttle(clock, bytes_per_second)
        """From TCP to streams."""
        self.read_bytes = read_bytes(bytes_per_second)
        """The largest read of a socket."""


def read_bytes(bytes_per_second: float) -> int:
    """What one flow takes in its turn: short against a second."""
    share = int(bytes_per_second * limits.BANDWIDTH_READ_SECONDS)
    return max(limits.BANDWIDTH_READ_BYTES, min(limits.PLAIN_READ_BYTES, share))
