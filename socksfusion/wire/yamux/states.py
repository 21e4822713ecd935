"""The life of a stream as three tables: its opening, the direction that we send, the direction that we receive.

Each table maps (state, input) to (effect, next state). An input that is absent is impossible for our own side and a
fault when the peer causes it. A stream is closed when both directions have ended; a reset ends both at once. See
spec.md, "Opening a stream" and "Closing a stream".
"""

from enum import IntEnum, auto
from typing import Final


class Opening(IntEnum):
    """Who knows of the stream."""

    QUEUED = auto()
    """We opened it and the SYN has not left."""
    SYN_SENT = auto()
    """The SYN has left and nothing has come back."""
    ANSWERED = auto()
    """Both sides have a record of it. A stream that the peer opened starts here."""


class OpeningInput(IntEnum):
    """What moves an opening on."""

    SYN_GONE = auto()
    ACK = auto()
    OTHER = auto()
    """A frame of the peer's with neither ACK nor RST. hashicorp/yamux never acknowledges a stream that had our FIN
    before it was accepted, so any frame has to count as an answer."""


class Sending(IntEnum):
    """Our direction."""

    OPEN = auto()
    ENDING = auto()
    """FIN waits for the queued bytes."""
    RESETTING = auto()
    """RST waits for the queued bytes."""
    ENDED = auto()


class SendingInput(IntEnum):
    """What happens to our direction."""

    SEND = auto()
    END = auto()
    RESET_AFTER_DATA = auto()
    FLUSHED = auto()
    """No byte is queued any more."""
    UPDATE = auto()
    """The peer grants credit."""
    RESET = auto()
    """Either side resets the stream."""


class Receiving(IntEnum):
    """The peer's direction."""

    OPEN = auto()
    REFUSED = auto()
    """The application wants no more."""
    ENDED = auto()


class ReceivingInput(IntEnum):
    """What happens to the peer's direction."""

    DATA = auto()
    FIN = auto()
    STOP = auto()
    """The application wants no more."""
    RESET = auto()
    """Either side resets the stream."""


class Effect(IntEnum):
    """What a transition asks for."""

    NOTHING = auto()
    ACKNOWLEDGE = auto()
    """Tell the application that the peer has the stream."""
    QUEUE = auto()
    """Keep the bytes until the peer's window and the stream's turn let them go."""
    GRANT = auto()
    """Add to the credit."""
    FLUSH = auto()
    """When no byte is queued, go on to FLUSHED now."""
    FIN = auto()
    RST = auto()
    CLEAR = auto()
    """Drop what is queued."""
    DELIVER = auto()
    """Give the data to the application."""
    REFUSE = auto()
    """Skip the data, and answer RST unless our own direction is still at work."""
    END = auto()
    """Tell the application that the peer has ended."""


OPENING: Final[dict[tuple[Opening, OpeningInput], tuple[Effect, Opening]]] = {
    (Opening.QUEUED, OpeningInput.SYN_GONE): (Effect.NOTHING, Opening.SYN_SENT),
    (Opening.SYN_SENT, OpeningInput.ACK): (Effect.ACKNOWLEDGE, Opening.ANSWERED),
    (Opening.SYN_SENT, OpeningInput.OTHER): (Effect.ACKNOWLEDGE, Opening.ANSWERED),
    (Opening.ANSWERED, OpeningInput.OTHER): (Effect.NOTHING, Opening.ANSWERED),
}

SENDING: Final[dict[tuple[Sending, SendingInput], tuple[Effect, Sending]]] = {
    (Sending.OPEN, SendingInput.SEND): (Effect.QUEUE, Sending.OPEN),
    (Sending.OPEN, SendingInput.END): (Effect.FLUSH, Sending.ENDING),
    (Sending.OPEN, SendingInput.RESET_AFTER_DATA): (Effect.FLUSH, Sending.RESETTING),
    (Sending.OPEN, SendingInput.FLUSHED): (Effect.NOTHING, Sending.OPEN),
    (Sending.OPEN, SendingInput.UPDATE): (Effect.GRANT, Sending.OPEN),
    (Sending.OPEN, SendingInput.RESET): (Effect.CLEAR, Sending.ENDED),
    # bytes that are sent after the end are dropped, as Twisted's transports do
    (Sending.ENDING, SendingInput.SEND): (Effect.NOTHING, Sending.ENDING),
    (Sending.ENDING, SendingInput.END): (Effect.NOTHING, Sending.ENDING),
    (Sending.ENDING, SendingInput.RESET_AFTER_DATA): (Effect.NOTHING, Sending.RESETTING),
    (Sending.ENDING, SendingInput.FLUSHED): (Effect.FIN, Sending.ENDED),
    (Sending.ENDING, SendingInput.UPDATE): (Effect.GRANT, Sending.ENDING),
    (Sending.ENDING, SendingInput.RESET): (Effect.CLEAR, Sending.ENDED),
    (Sending.RESETTING, SendingInput.SEND): (Effect.NOTHING, Sending.RESETTING),
    (Sending.RESETTING, SendingInput.END): (Effect.NOTHING, Sending.RESETTING),
    (Sending.RESETTING, SendingInput.RESET_AFTER_DATA): (Effect.NOTHING, Sending.RESETTING),
    (Sending.RESETTING, SendingInput.FLUSHED): (Effect.RST, Sending.ENDED),
    (Sending.RESETTING, SendingInput.UPDATE): (Effect.GRANT, Sending.RESETTING),
    (Sending.RESETTING, SendingInput.RESET): (Effect.CLEAR, Sending.ENDED),
    (Sending.ENDED, SendingInput.SEND): (Effect.NOTHING, Sending.ENDED),
    (Sending.ENDED, SendingInput.END): (Effect.NOTHING, Sending.ENDED),
    # our FIN has gone, the peer's has not come: the RST has nothing to wait for
    (Sending.ENDED, SendingInput.RESET_AFTER_DATA): (Effect.RST, Sending.ENDED),
    (Sending.ENDED, SendingInput.UPDATE): (Effect.NOTHING, Sending.ENDED),
    (Sending.ENDED, SendingInput.RESET): (Effect.CLEAR, Sending.ENDED),
}

RECEIVING: Final[dict[tuple[Receiving, ReceivingInput], tuple[Effect, Receiving]]] = {
    (Receiving.OPEN, ReceivingInput.DATA): (Effect.DELIVER, Receiving.OPEN),
    (Receiving.OPEN, ReceivingInput.FIN): (Effect.END, Receiving.ENDED),
    (Receiving.OPEN, ReceivingInput.STOP): (Effect.NOTHING, Receiving.REFUSED),
    (Receiving.OPEN, ReceivingInput.RESET): (Effect.NOTHING, Receiving.ENDED),
    (Receiving.REFUSED, ReceivingInput.DATA): (Effect.REFUSE, Receiving.REFUSED),
    (Receiving.REFUSED, ReceivingInput.FIN): (Effect.END, Receiving.ENDED),
    (Receiving.REFUSED, ReceivingInput.STOP): (Effect.NOTHING, Receiving.REFUSED),
    (Receiving.REFUSED, ReceivingInput.RESET): (Effect.NOTHING, Receiving.ENDED),
    # data and FIN after FIN are absent: the peer's fault
    (Receiving.ENDED, ReceivingInput.STOP): (Effect.NOTHING, Receiving.ENDED),
    (Receiving.ENDED, ReceivingInput.RESET): (Effect.NOTHING, Receiving.ENDED),
}
