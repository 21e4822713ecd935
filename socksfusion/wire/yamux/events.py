"""What a session tells its application. ``receive_data`` returns these in the order in which the peer caused them."""

from dataclasses import dataclass, field
from enum import Enum

from socksfusion.wire.yamux.errors import ProtocolError
from socksfusion.wire.yamux.stream import Stream


class ResetReason(Enum):
    """Why a stream was reset without the application having asked for it."""

    PEER = "peer"
    """The peer sent RST; what it had sent before was delivered."""
    FAULT = "fault"
    """The peer broke the protocol on this stream (data or FIN after FIN, a second ACK); we sent RST."""
    LATE_DATA = "late-data"
    """Data came after the application had ended the stream and stopped receiving; we sent RST."""
    UNREAD = "unread"
    """The process holds more unread data than it may, and this stream held the most; we sent RST."""


@dataclass(slots=True)
class StreamOpened:
    """The peer has opened a stream; its ACK is already queued."""

    stream: Stream


@dataclass(slots=True)
class StreamRefused:
    """The peer tried to open a stream that it may not have now; it is answered by RST and there is no record of it."""

    stream_id: int
    rule: str
    """Which limit: ``foreign-open``, ``going-away``, ``backlog`` or ``streams``."""


@dataclass(slots=True)
class StreamAcknowledged:
    """The peer has a record of a stream that we opened."""

    stream: Stream


@dataclass(slots=True)
class DataReceived:
    """A piece of a stream's data; a frame's body may come in several. ``Stream.consumed`` gives its credit back."""

    stream: Stream
    data: bytes


@dataclass(slots=True)
class StreamEnded:
    """The peer's FIN: no more data will come; the other direction goes on."""

    stream: Stream


@dataclass(slots=True)
class StreamReset:
    """The stream is gone, at once and both ways.

    With the reason UNREAD it may belong to another session of the same process: flush the carrier of
    ``stream.session``, not the one that returned this event.
    """

    stream: Stream
    reason: ResetReason
    detail: str = ""
    """For the log: what the peer did wrong, or how much was unread."""


@dataclass(slots=True)
class PingReplied:
    """The peer answered the ping with this value, ``rtt_seconds`` after it was queued."""

    opaque: int
    rtt_seconds: float


@dataclass(slots=True)
class GoAwayReceived:
    """The peer takes no new streams (code 0: those that are open go on), or ends the session for an error (1, 2)."""

    code: int


@dataclass(slots=True)
class SessionFailed:
    """The peer broke the protocol. Send what ``data_to_send`` gives (a go-away), then close the carrier."""

    error: ProtocolError
    streams: list[Stream] = field(default_factory=list)
    """The streams that this cut; there is no other event for them."""


Event = (
    StreamOpened
    | StreamRefused
    | StreamAcknowledged
    | DataReceived
    | StreamEnded
    | StreamReset
    | PingReplied
    | GoAwayReceived
    | SessionFailed
)
