"""The peer's bytes, cut into headers and bodies, and what each of them does to the session."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from socksfusion import limits
from socksfusion.wire.yamux.errors import (
    BadHeader,
    BadStreamId,
    CreditOverflow,
    ProtocolError,
    StreamFault,
    UnknownStream,
    WindowExceeded,
)
from socksfusion.wire.yamux.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PingReplied,
    ResetReason,
    SessionFailed,
    StreamAcknowledged,
    StreamEnded,
    StreamOpened,
    StreamRefused,
    StreamReset,
)
from socksfusion.wire.yamux.frames import (
    ACK,
    FIN,
    HEADER,
    HEADER_BYTES,
    KNOWN_FLAGS,
    LARGEST_CREDIT,
    RST,
    SYN,
    VERSION,
)
from socksfusion.wire.yamux.misbehaviour import Misbehaviour
from socksfusion.wire.yamux.states import Effect, Opening, OpeningInput, ReceivingInput, Sending
from socksfusion.wire.yamux.stream import Stream

if TYPE_CHECKING:
    from socksfusion.wire.yamux.session import Session


class Receiver:
    """Reads the carrier for a session. A piece that lies within one frame's body costs a few attribute accesses."""

    __slots__ = (
        "_body_left",
        "_body_stream",
        "_end_flags",
        "_events",
        "_misbehaviour",
        "_now",
        "_partial",
        "_session",
        "_stream_id",
    )

    def __init__(self, session: "Session") -> None:
        self._session = session
        # of the call that is under way
        self._now = 0.0
        self._events: list[Event] = []
        self._partial = b""
        # the data frame that we are within: whose (None: skipped), how many bytes are to come, what its flags do then
        self._stream_id = 0
        self._body_stream: Stream | None = None
        self._body_left = 0
        self._end_flags = 0
        self._misbehaviour = Misbehaviour()

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Turn bytes into events; a protocol error ends the session and is the last of them."""
        events: list[Event] = []
        session = self._session
        if session.closed:
            return events
        self._events = events
        self._now = now
        session.tombstones.settle(now)
        try:
            if 0 < len(data) <= self._body_left:
                self._read_body(data, len(data))
            else:
                self._split(data)
        except ProtocolError as error:
            events.append(SessionFailed(error, session.fail(error.code)))
            self._body_stream = None
        # an idle session must not hold on to what it delivered last
        self._events = []
        return events

    def leave(self, stream: Stream) -> None:
        """Skip what is left of a body whose stream is gone."""
        if self._body_stream is stream:
            self._body_stream = None

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _split(self, data: bytes) -> None:
        size = len(data)
        position = 0
        if self._partial:
            position = HEADER_BYTES - len(self._partial)
            header = self._partial + data[:position]
            if len(header) < HEADER_BYTES:
                self._partial = header
                return
            self._partial = b""
            self._read_header(*HEADER.unpack(header))
        while position < size:
            left = self._body_left
            if left:
                end = min(position + left, size)
                piece = data[position:end] if self._body_stream is not None else b""
                self._read_body(piece, end - position)
                position = end
            elif size - position >= HEADER_BYTES:
                fields = HEADER.unpack_from(data, position)
                position += HEADER_BYTES
                self._read_header(*fields)
            else:
                self._partial = data[position:]
                return

    def _read_body(self, piece: bytes, size: int) -> None:
        stream = self._body_stream
        self._body_left -= size
        if stream is not None:
            budget = self._session.budget
            if not stream.unread:
                stream.unread_since = self._now
                budget.holders[stream] = None
            stream.unread += size
            budget.unread += size
            self._events.append(DataReceived(stream, piece))
            if budget.unread > budget.unread_limit:
                self._relieve()
        if not self._body_left and self._end_flags:
            self._end_frame()

    def _relieve(self) -> None:
        for holder in self._session.budget.victims():
            stream = cast(Stream, holder)
            detail = f"{stream.unread} bytes unread"
            stream.reset()
            self._events.append(StreamReset(stream, ResetReason.UNREAD, detail))

    # -- frames -------------------------------------------------------------------------------------------------------

    def _read_header(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> None:
        if version != VERSION:
            raise BadHeader(f"version {version}")
        if kind >= len(_READERS):
            raise BadHeader(f"type {kind}")
        if flags & ~KNOWN_FLAGS or (flags & SYN and flags & (ACK | RST)):
            raise BadHeader(f"flags {flags:#06x} on type {kind}")
        if not self._session.pings.started:
            self._session.pings.ask(self._now)
        _READERS[kind](self, flags, stream_id, length)

    def _read_data(self, flags: int, stream_id: int, length: int) -> None:
        if not length and not flags:
            self._misbehaviour.empty_frame(self._now)
        stream = self._session.streams.get(stream_id)
        if stream is None or flags & SYN:
            if flags & SYN and length > limits.INITIAL_WINDOW_BYTES:
                raise WindowExceeded(f"stream {stream_id} opens with {length} bytes")
            stream = self._find(flags, stream_id, limits.INITIAL_WINDOW_BYTES)
            if stream is None:
                self._spend_late(stream_id, length)
        receives = stream is not None and self._begin_data(stream, flags, length)
        self._body_stream = stream if receives else None
        self._stream_id = stream_id
        self._body_left = length
        self._end_flags = flags & (FIN | RST)
        if not length and self._end_flags:
            self._end_frame()

    def _read_window_update(self, flags: int, stream_id: int, delta: int) -> None:
        if not delta and not flags:
            self._misbehaviour.empty_frame(self._now)
        stream = self._session.streams.get(stream_id)
        if stream is None or flags & SYN:
            credit = limits.INITIAL_WINDOW_BYTES + delta
            _check_credit(stream_id, credit)
            stream = self._find(flags, stream_id, credit)
            delta = 0
        if stream is not None:
            _check_credit(stream_id, stream.credit + delta)
            try:
                self._answer(stream, flags)
            except StreamFault as fault:
                self._fault(stream, fault)
            else:
                stream.grant(delta)
        if flags & (FIN | RST):
            self._stream_id = stream_id
            self._end_flags = flags
            self._end_frame()

    def _read_ping(self, flags: int, stream_id: int, opaque: int) -> None:
        if stream_id:
            raise BadStreamId(f"a ping on stream {stream_id}")
        pings = self._session.pings
        if flags == SYN:
            pings.asked_by_peer(opaque, self._now)
        elif flags == ACK:
            round_trip = pings.answered(opaque, self._now)
            if round_trip is not None:
                self._events.append(PingReplied(opaque, round_trip))
        else:
            raise BadHeader(f"flags {flags:#06x} on a ping")

    def _read_go_away(self, flags: int, stream_id: int, code: int) -> None:
        if stream_id or flags:
            raise BadHeader(f"a go-away on stream {stream_id} with flags {flags:#06x}")
        self._session.peer_goes_away = code
        self._events.append(GoAwayReceived(code))

    # -- streams ------------------------------------------------------------------------------------------------------

    def _find(self, flags: int, stream_id: int, credit: int) -> Stream | None:
        """Open the stream that a SYN asks for; None when it is refused, or for a stream that is gone."""
        session = self._session
        if not flags & SYN:
            if not session.was_opened(stream_id):
                raise UnknownStream(f"stream {stream_id} was never opened")
            return None
        stream = session.accept_stream(stream_id, credit)
        if isinstance(stream, Stream):
            self._events.append(StreamOpened(stream))
            return stream
        self._events.append(StreamRefused(stream_id, stream))
        if not session.accept_streams:
            self._misbehaviour.foreign_open()
        return None

    def _begin_data(self, stream: Stream, flags: int, length: int) -> bool:
        """Take a data frame's header; tells whether its body is to be delivered."""
        stream.window.receive(length)
        try:
            self._answer(stream, flags)
            if not length:
                return False
            effect = stream.step_receiving(ReceivingInput.DATA)
            if effect is None:
                raise StreamFault("data after FIN")
        except StreamFault as fault:
            self._fault(stream, fault)
            return False
        if effect is Effect.DELIVER:
            return True
        if stream.sending is Sending.ENDED:
            stream.reset()
            self._events.append(StreamReset(stream, ResetReason.LATE_DATA, f"{length} bytes after the end"))
        else:
            stream.skip()
        return False

    def _answer(self, stream: Stream, flags: int) -> None:
        """Note that the peer knows of the stream."""
        if stream.opening is Opening.ANSWERED and not flags & ACK:
            return
        if stream.opening is Opening.QUEUED:
            raise UnknownStream(f"stream {stream.id} was never opened")
        if flags & RST and not flags & ACK:
            return
        effect = stream.step_opening(OpeningInput.ACK if flags & ACK else OpeningInput.OTHER)
        if effect is None:
            raise StreamFault("ACK of a stream that needs none")
        self._session.unacknowledged -= 1
        self._events.append(StreamAcknowledged(stream))

    def _end_frame(self) -> None:
        """Do what a frame's FIN or RST asks for, after its body."""
        session = self._session
        stream = session.streams.get(self._stream_id)
        if stream is None:
            session.tombstones.discard(self._stream_id)
        elif self._end_flags & RST:
            session.drop_stream(stream)
            self._events.append(StreamReset(stream, ResetReason.PEER))
        elif stream.step_receiving(ReceivingInput.FIN) is None:
            self._fault(stream, StreamFault("FIN after FIN"))
        else:
            self._events.append(StreamEnded(stream))
            if stream.closed:
                session.end_stream(stream)

    def _spend_late(self, stream_id: int, length: int) -> None:
        """Take data for a stream that is gone: what was in flight is no fault, more than was granted is."""
        if not length or self._session.tombstones.spend(stream_id, length):
            return
        if length > limits.STREAM_WINDOW_BYTES:
            raise WindowExceeded(f"stream {stream_id}: {length} bytes after its end")
        self._misbehaviour.fault(self._now)

    def _fault(self, stream: Stream, fault: StreamFault) -> None:
        self._misbehaviour.fault(self._now)
        stream.reset()
        self._events.append(StreamReset(stream, ResetReason.FAULT, str(fault)))


def _check_credit(stream_id: int, credit: int) -> None:
    if credit > LARGEST_CREDIT:
        raise CreditOverflow(f"stream {stream_id}: a credit of {credit} bytes")


_READERS: Final[tuple[Callable[[Receiver, int, int, int], None], ...]] = (
    Receiver._read_data,
    Receiver._read_window_update,
    Receiver._read_ping,
    Receiver._read_go_away,
)
