"""One stream: what the application does with it, and what its two directions hold."""

from collections import deque
from typing import TYPE_CHECKING, Any

from socksfusion.wire.yamux.frames import ACK, DATA, FIN, SYN, WINDOW_UPDATE, encode_header
from socksfusion.wire.yamux.states import (
    OPENING,
    RECEIVING,
    SENDING,
    Effect,
    Opening,
    OpeningInput,
    Receiving,
    ReceivingInput,
    Sending,
    SendingInput,
)
from socksfusion.wire.yamux.windows import ReceiveWindow

if TYPE_CHECKING:
    from socksfusion.wire.yamux.session import Session
    from socksfusion.wire.yamux.turns import Share

Piece = bytes | memoryview


class Stream:
    """A stream of a session, made by ``Session.open_stream`` or told of by ``StreamOpened``.

    It is driven by the application (the methods down to ``stop_receiving``), by the peer (``session.receive_data``) and
    by the scheduler, which asks it for frames. What was received stays counted against the process's bound until it is
    ``consumed``, also after the end: an application that drops the rest says so by ``stop_receiving`` or ``reset``.
    """

    __slots__ = (
        "_above",
        "_chunks",
        "_skipped",
        "credit",
        "flags",
        "id",
        "opening",
        "owner",
        "queued",
        "ready",
        "receiving",
        "sending",
        "served_in",
        "session",
        "share",
        "unread",
        "unread_since",
        "window",
    )

    def __init__(
        self, session: "Session", stream_id: int, opening: Opening, window: ReceiveWindow, credit: int
    ) -> None:
        self.id = stream_id
        self.session = session
        self.owner: Any = None
        """For the application: whom this stream's events are for."""
        self.opening = opening
        self.sending = Sending.OPEN
        self.receiving = Receiving.OPEN
        self.flags = ACK if opening is Opening.ANSWERED else SYN
        """Flags that wait for the next frame."""
        self.queued = 0
        """Bytes that wait to be sent."""
        self.credit = credit
        """Bytes that the peer still lets us send."""
        self.window = window
        self.unread = 0
        """Bytes received and not yet consumed."""
        self.unread_since = 0.0
        """When the application last took something, or when it had nothing to take."""
        # the scheduler's notes: with whom we share our turns, whether it has us in one of its queues, and the round in
        # which we last had a turn
        self.share: Share = session.outbox.nobody
        self.ready = False
        self.served_in = -1
        # None where nothing is queued: an empty deque is large
        self._chunks: deque[Piece] | None = None
        self._above = False
        self._skipped = False

    @property
    def closed(self) -> bool:
        """Whether both directions have ended."""
        return self.sending is Sending.ENDED and self.receiving is Receiving.ENDED

    @property
    def acknowledged(self) -> bool:
        """Whether the peer is known to have a record of this stream."""
        return self.opening is Opening.ANSWERED

    # -- the application ----------------------------------------------------------------------------------------------

    def belong_to(self, user: str) -> None:
        """Take turns among the streams of ``user``, who takes turns with other users."""
        outbox, was_ready = self.session.outbox, self.ready
        if was_ready:
            outbox.remove_ready(self)
        self.share = outbox.share(user)
        if was_ready:
            outbox.add_ready(self)

    def send(self, data: bytes) -> None:
        """Queue ``data`` without copying it; after ``end`` or a reset it is dropped."""
        effect, self.sending = SENDING[self.sending, SendingInput.SEND]
        if effect is not Effect.QUEUE or not data:
            return
        if self._chunks is None:
            self._chunks = deque()
        self._chunks.append(data)
        self.queued += len(data)
        if self.queued > self.session.send_high:
            self._above = True
        if self.credit and not self.ready:
            self.session.outbox.add_ready(self)

    def end(self) -> None:
        """Send FIN after the last queued byte; it needs no window. Harmless when repeated."""
        effect, self.sending = SENDING[self.sending, SendingInput.END]
        if effect is Effect.FLUSH and not self.queued:
            self._flushed()

    def reset(self, *, after_data: bool = False) -> None:
        """End both directions: at once, what is queued is dropped; or after what is queued. Harmless when repeated.

        Nothing more is received in either case.
        """
        self._drop_unread()
        if self.closed:
            return
        if not after_data:
            self.session.reset_stream(self)
            return
        self.step_receiving(ReceivingInput.STOP)
        effect, self.sending = SENDING[self.sending, SendingInput.RESET_AFTER_DATA]
        if effect is Effect.RST:
            self._ordered_reset()
        elif not self.queued:
            self._flushed()

    def consumed(self, size: int, now: float) -> None:
        """Note at ``now`` that the application has taken ``size`` bytes of what was received: their credit goes back.

        Updates are gathered (see ``windows``). Raises ValueError for more than was received. After the end or a reset
        it only counts: a handler may still be at work on events that came together with the reset.
        """
        if size > self.unread:
            if self.receiving is Receiving.OPEN:
                raise ValueError(f"stream {self.id}: {size} bytes consumed, {self.unread} were unread")
            size = self.unread
        session = self.session
        if size:
            session.budget.release(self, size)
            self.unread_since = now
        if self.receiving is Receiving.OPEN and self.window.consume(size):
            control = session.outbox.control
            if self not in control:
                self.window.judge(now, self.unread, session.pings.round_trip)
                control[self] = None

    def stop_receiving(self) -> None:
        """Say that nothing more is wanted: what is unread is forgotten, and data that comes is not delivered.

        While our own direction is still sending it is skipped; once that has ended, data is answered by RST.
        """
        self._drop_unread()
        self.step_receiving(ReceivingInput.STOP)

    # -- the peer, by way of the session ------------------------------------------------------------------------------

    def step_opening(self, happened: OpeningInput) -> Effect | None:
        """Apply one line of the table; None when there is no such line."""
        line = OPENING.get((self.opening, happened))
        if line is None:
            return None
        effect, self.opening = line
        return effect

    def step_receiving(self, happened: ReceivingInput) -> Effect | None:
        """Apply one line of the table; None when there is no such line."""
        line = RECEIVING.get((self.receiving, happened))
        if line is None:
            return None
        effect, state = line
        if state is not self.receiving:
            self.receiving = state
            if not self.flags:
                # there was a window update to send, perhaps: no credit goes back any more
                self.session.outbox.control.pop(self, None)
        return effect

    def grant(self, delta: int) -> None:
        """Add ``delta`` bytes to the credit."""
        effect, self.sending = SENDING[self.sending, SendingInput.UPDATE]
        if effect is Effect.GRANT:
            self.credit += delta
            if self.queued and self.credit and not self.ready:
                self.session.outbox.add_ready(self)

    def skip(self) -> None:
        """Note that data came which nobody wants."""
        self._skipped = True

    def shut(self) -> None:
        """End both directions without a word to the peer."""
        _, self.sending = SENDING[self.sending, SendingInput.RESET]
        self.step_receiving(ReceivingInput.RESET)
        self._chunks = None
        self.queued = 0
        self.flags = 0

    # -- the scheduler ------------------------------------------------------------------------------------------------

    def write_frame(self, pieces: list[Piece], largest: int) -> int:
        """Append one data frame with as many queued chunks as fit; return its body's bytes."""
        room = min(self.credit, largest)
        chunks = self._chunks
        place = len(pieces)
        pieces.append(b"")
        left = room
        while chunks and left:
            chunk = chunks[0]
            size = len(chunk)
            if size <= left:
                pieces.append(chunks.popleft())
                left -= size
            else:
                view = memoryview(chunk)
                pieces.append(view[:left])
                chunks[0] = view[left:]
                left = 0
        size = room - left
        pieces[place] = encode_header(DATA, self.take_flags(), self.id, size)
        self.credit -= size
        self.queued -= size
        if self._above and self.queued <= self.session.send_low:
            self._above = False
            self.session.drained.append(self)
        if not self.queued:
            self._chunks = None
            self._flushed()
        return size

    def write_control(self, pieces: list[Piece]) -> None:
        """Append one window update with the flags and the credit that wait, if any do."""
        delta = self.window.take_update() if self.receiving is Receiving.OPEN else 0
        flags = self.take_flags()
        if flags or delta:
            pieces.append(encode_header(WINDOW_UPDATE, flags, self.id, delta))
        if flags & FIN and self._skipped and not self.closed:
            self._ordered_reset()

    def take_flags(self) -> int:
        """Return the flags of the frame that leaves now."""
        flags = self.flags
        if flags:
            self.flags = 0
            if flags & SYN:
                self.step_opening(OpeningInput.SYN_GONE)
            if flags & ACK:
                self.session.outbox.unsent_acks -= 1
        return flags

    # -----------------------------------------------------------------------------------------------------------------

    def _flushed(self) -> None:
        effect, self.sending = SENDING[self.sending, SendingInput.FLUSHED]
        if effect is Effect.FIN:
            # a frame of its own, not a flag on the last data: hashicorp/yamux handles a frame's flags before its body
            # and a reader that wakes in between takes the end for real
            self.flags |= FIN
            self.session.outbox.control[self] = None
            if self.closed:
                self.session.end_stream(self)
        elif effect is Effect.RST:
            self._ordered_reset()

    def _ordered_reset(self) -> None:
        self.session.reset_stream(self)
        self.session.ended.append(self)

    def _drop_unread(self) -> None:
        if self.unread:
            self.session.budget.release(self, self.unread)
