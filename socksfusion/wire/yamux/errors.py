"""What can go wrong in a session: a ``ProtocolError`` is the peer's doing and carries the go-away code for it."""

from typing import ClassVar

from socksfusion.wire.yamux.frames import GoAwayCode


class YamuxError(Exception):
    """Base of everything that this package raises or reports."""


class ProtocolError(YamuxError):
    """The peer broke the protocol: the session ends with ``code``; ``rule`` names the refusal in logs and counters."""

    code: ClassVar[GoAwayCode] = GoAwayCode.PROTOCOL_ERROR
    rule: ClassVar[str] = "yamux-protocol"


class BadHeader(ProtocolError):
    """A version, type or flag that the specification does not know, or flags that exclude each other."""

    rule = "yamux-header"


class BadStreamId(ProtocolError):
    """A stream id with the wrong parity, used before, or zero where a stream is meant."""

    rule = "yamux-stream-id"


class UnknownStream(ProtocolError):
    """A frame for a stream that was never opened."""

    rule = "yamux-unknown-stream"


class WindowExceeded(ProtocolError):
    """More data than the receive window allowed."""

    rule = "yamux-window"


class CreditOverflow(ProtocolError):
    """A window update that lifts our credit past 2^32-1."""

    rule = "yamux-credit"


class PingFlood(ProtocolError):
    """More pings in a span than anyone needs."""

    rule = "yamux-ping-flood"


class EmptyFrameFlood(ProtocolError):
    """Too many frames in a span that carry neither data, credit nor a flag."""

    rule = "yamux-empty-frames"


class FaultFlood(ProtocolError):
    """Too many streams in a span that we had to reset for a fault of the peer's."""

    rule = "yamux-faults"


class ForeignOpens(ProtocolError):
    """The peer keeps opening streams although it may open none."""

    rule = "yamux-foreign-open"


class PeerNotReading(ProtocolError):
    """The peer makes us reset more streams than we can tell it, since it takes nothing from the carrier."""

    rule = "yamux-not-reading"


class StreamFault(YamuxError):
    """The peer broke the protocol on one stream: that stream alone is reset."""

    rule: ClassVar[str] = "yamux-stream-fault"


class SessionClosed(YamuxError):
    """The session takes no new streams: it has failed, or one of the sides has said go-away."""


class OpenLimit(YamuxError):
    """No further stream may be opened now: too many un-ACKed or open ones, or the ids are used up."""
