"""The producer that writes to a stream: stopped while much is queued, asked for more when little is."""

from typing import Any, Protocol

from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.tunnel.stream_carrier import StreamCarrier


class Writer(Protocol):
    """The transport that a producer writes to."""

    def broken(self, failure: Failure) -> None:
        """The producer has raised."""


class RegisteredProducer:
    """One producer, from ``registerProducer`` to ``unregisterProducer``; it is never told the same thing twice.

    A push producer is paused above ``limits.STREAM_SEND_BYTES`` queued bytes and resumed when the queue has drained. A
    pull producer is asked for its next piece when it has written one and there is room: not before, since one that
    waits for its data would be asked in every turn of the reactor.

    ``writer`` is told what the producer raised when it was called in a turn of the reactor's own.
    """

    __slots__ = ("_carrier", "_due", "_producer", "_registered", "_writer", "paused", "pulls")

    def __init__(self, producer: Any, writer: Writer, carrier: StreamCarrier, *, pulls: bool) -> None:
        self._producer = producer
        self._writer = writer
        self._carrier = carrier
        self._due = False
        self._registered = True
        self.pulls = pulls
        self.paused = False

    def start(self, queued: int) -> None:
        """It was registered, with ``queued`` bytes before it."""
        if self.pulls and queued <= limits.STREAM_SEND_BYTES:
            self._producer.resumeProducing()
        elif queued > limits.STREAM_SEND_BYTES:
            self.wrote(queued)

    def wrote(self, queued: int) -> None:
        """Something was written, ``queued`` bytes wait now."""
        if queued > limits.STREAM_SEND_BYTES:
            if not self.paused:
                self.paused = True
                if not self.pulls:
                    self._producer.pauseProducing()
        elif self.pulls:
            self._pull_soon()

    def drained(self) -> None:
        """The queue has room again."""
        if not self.paused:
            return
        self.paused = False
        if self.pulls:
            self._pull_soon()
        else:
            self._resume()

    def release(self) -> None:
        """It was unregistered: it hears no more of us."""
        self._registered = False

    def stop(self) -> None:
        """The connection is lost, or about to be."""
        self.release()
        try:
            self._producer.stopProducing()
        except Exception:
            self._writer.broken(Failure())

    def _pull_soon(self) -> None:
        if not self._due:
            self._due = True
            self._carrier.call_soon(self._pull)

    def _pull(self) -> None:
        self._due = False
        if self._registered and not self.paused:
            self._resume()

    def _resume(self) -> None:
        try:
            self._producer.resumeProducing()
        except Exception:
            self._writer.broken(Failure())
