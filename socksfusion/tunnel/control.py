"""Stream 1 of a session, the control stream: records in both directions for as long as the session stands."""

from collections.abc import Callable, Sequence

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from socksfusion import __version__, limits
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.control_messages import MINOR, PROTOCOL, Hello
from socksfusion.wire.messages import Message, RecordError, RecordReader, Unknown, Unsupported, encode


class ControlProtocol(Protocol):
    """Hands each record to ``received``; what can't be read ends the session through ``failed`` (why, for the log).

    A message of a type that this version does not know is answered *unsupported* and goes no further. ``ended`` is
    called when the stream has ended, which it does when the other side goes.
    """

    transport: StreamTransport

    def __init__(
        self, received: Callable[[Message], None], failed: Callable[[str], None], ended: Callable[[], None]
    ) -> None:
        self._received = received
        self._failed = failed
        self._ended = ended
        self._reader = RecordReader()
        self._over = False

    def say_hello(self, program_id: str, features: Sequence[str]) -> None:
        """Send this side's first record; ``program_id`` is the running program's, the same on all its carriers.

        ``features`` is what this side can do (``wire.control_messages.UDP`` and so on).
        """
        program = f"socksfusion/{__version__}"
        hello = Hello(protocol=PROTOCOL, minor=MINOR, program=program, features=list(features), program_id=program_id)
        self.send(hello)

    def send(self, message: Message) -> None:
        """Send one message; ignored where the stream is gone."""
        if self.transport is not None:
            self.transport.write(encode(message))

    def dataReceived(self, data: bytes) -> None:
        """Records may be split and joined as they like."""
        for record in self._reader.receive_data(data):
            if self._over:
                return
            if isinstance(record, RecordError):
                self._fail(str(record))
            elif isinstance(record, Unknown):
                self._answer(record)
            else:
                self._received(record)

    def _answer(self, record: Unknown) -> None:
        # answers must not pile up before somebody who only asks
        if self.transport.queued > limits.STREAM_SEND_BYTES:
            self._fail("it takes no answers")
        else:
            self.send(Unsupported(what=record.tag))

    def _fail(self, why: str) -> None:
        self._over = True
        self._failed(why)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is gone."""
        self._ended()
