"""One direction of a stream: what its protocol writes, until the stream has it."""

from typing import Any

from socksfusion import limits
from socksfusion.tunnel.producing import RegisteredProducer, Writer
from socksfusion.tunnel.stream_carrier import StreamCarrier
from socksfusion.wire.yamux.stream import Stream


class Writing:
    """Driven by three kinds of sources:

    - the protocol: ``write``, ``end``, ``register`` and ``unregister``, through its transport;
    - the carrier: ``drained``, through the transport too;
    - the transport: ``stop`` and ``stop_producer``.

    ``sent`` is all bytes that were written.
    """

    __slots__ = ("_carrier", "_ending", "_producer", "_stream", "_writer", "ended", "sent")

    def __init__(self, stream: Stream, writer: Writer, carrier: StreamCarrier) -> None:
        self._stream = stream
        self._writer = writer
        self._carrier = carrier
        self._producer: RegisteredProducer | None = None
        self._ending = False  # FIN waits for the producer
        self.ended = False
        """Whether nothing is taken any more."""
        self.sent = 0

    @property
    def paused(self) -> bool:
        """Whether a producer has been stopped for now."""
        return self._producer is not None and self._producer.paused

    def write(self, data: bytes) -> None:
        """Queue ``data``; nothing happens after the end. ``TypeError`` for what is not bytes."""
        if data.__class__ is not bytes:
            data = _as_bytes(data)
        if self.ended or not data:
            return
        stream = self._stream
        stream.send(data)
        self.sent += len(data)
        producer = self._producer
        if producer is not None and (producer.pulls or stream.queued > limits.STREAM_SEND_BYTES):
            producer.wrote(stream.queued)
        self._carrier.flush_soon()

    def end(self) -> None:
        """Send what is queued (a registered producer ends first), then FIN. Harmless when repeated."""
        self._ending = True
        if self._producer is None:
            self._send_end()

    def stop(self) -> None:
        """Take nothing more: the stream is lost."""
        self.ended = True

    def register(self, producer: Any, streaming: bool) -> None:
        """Let ``producer`` write; one that comes after the end is stopped. ``RuntimeError`` where there is another."""
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: another producer was never unregistered")
        if self.ended:
            producer.stopProducing()
            return
        self._producer = RegisteredProducer(producer, self._writer, self._carrier, pulls=not streaming)
        self._producer.start(self._stream.queued)

    def unregister(self) -> None:
        """The producer has written all it had."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.release()
        if self._ending:
            self._send_end()

    def stop_producer(self) -> None:
        """Tell a registered producer that nobody takes what it has."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stop()

    def drained(self) -> None:
        """The send queue has room again."""
        if self._producer is not None:
            self._producer.drained()

    def _send_end(self) -> None:
        if not self.ended:
            self.ended = True
            self._stream.end()
            self._carrier.flush_soon()


def _as_bytes(data: object) -> bytes:
    """A copy of what may change later; text is a mistake of the caller's and must not reach the carrier."""
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"a stream carries bytes, not {type(data).__name__}")
