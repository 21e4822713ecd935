"""Whose frame is next: control frames, then one data frame a stream in turns, new ones first."""

from collections import OrderedDict

from socksfusion.wire.yamux.frames import (
    ACK,
    GO_AWAY,
    HEADER_BYTES,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    encode_header,
)
from socksfusion.wire.yamux.pings import Pings
from socksfusion.wire.yamux.stream import Piece, Stream


class Outbox:
    """What waits to be sent. Control frames are one a stream at most, however long the peer takes nothing.

    A stream that becomes ready goes before those that have been sending (``fresh`` before ``turn``), once a round: an
    interactive stream waits behind one frame, and many of them cannot starve a bulk one (as in RFC 8290, fq_codel).
    """

    __slots__ = (
        "_body_bytes",
        "_fresh",
        "_left_in_round",
        "_pings",
        "_round",
        "_turn",
        "control",
        "go_away",
        "resets",
        "unsent_acks",
    )

    def __init__(self, pings: Pings, body_bytes: int) -> None:
        self._pings = pings
        self._body_bytes = body_bytes
        self.control: dict[Stream, None] = {}
        """Streams with a flag or a window update to send."""
        self.resets: dict[int, None] = {}
        """Ids of streams to be answered RST."""
        self.go_away: int | None = None
        """The code of a go-away to send."""
        self.unsent_acks = 0
        """Streams that the peer opened and whose ACK has not left."""
        self._fresh: OrderedDict[Stream, None] = OrderedDict()
        self._turn: OrderedDict[Stream, None] = OrderedDict()
        self._round = 0
        self._left_in_round = 0

    @property
    def waiting(self) -> bool:
        """Whether ``data_to_send`` would give anything."""
        pings = self._pings
        return bool(
            self._fresh
            or self._turn
            or self.control
            or self.resets
            or pings.replies
            or pings.requests
            or self.go_away is not None
        )

    @property
    def queued_bytes(self) -> int:
        """What could be sent now, about, in bytes."""
        size = HEADER_BYTES * (len(self.control) + len(self.resets) + len(self._pings.replies))
        for streams in (self._fresh, self._turn):
            for stream in streams:
                size += min(stream.queued, stream.credit) + HEADER_BYTES
        return size

    def add_ready(self, stream: Stream) -> None:
        """Give a stream its place: it has bytes and credit and is in no queue yet."""
        stream.ready = True
        if self._turn and stream.served_in == self._round:
            self._turn[stream] = None
        else:
            self._fresh[stream] = None

    def forget(self, stream: Stream) -> None:
        """Drop what waits for a stream that was reset."""
        self.control.pop(stream, None)
        if stream.flags & ACK:
            self.unsent_acks -= 1
        if stream.ready:
            stream.ready = False
            self._fresh.pop(stream, None)
            self._turn.pop(stream, None)

    def clear(self) -> None:
        """Drop everything."""
        self.control.clear()
        self.resets.clear()
        self._fresh.clear()
        self._turn.clear()
        self._pings.requests.clear()
        self._pings.replies.clear()
        self.go_away = None

    def data_to_send(self, limit: int) -> list[Piece]:
        """Return headers and bodies in order, about ``limit`` bytes: the frame that reaches the limit is whole."""
        pieces: list[Piece] = []
        self._write_control(pieces)
        left = limit - HEADER_BYTES * len(pieces)
        while left > 0:
            stream = self._next_stream()
            if stream is None:
                break
            left -= stream.write_frame(pieces, self._body_bytes) + HEADER_BYTES
            if stream.queued and stream.credit:
                self._turn[stream] = None
            else:
                stream.ready = False
        # the FINs and RSTs that waited for the data above
        self._write_control(pieces)
        if self.go_away is not None:
            # after the data, so that a last message goes before it
            pieces.append(encode_header(GO_AWAY, 0, 0, self.go_away))
            self.go_away = None
        return pieces

    def _next_stream(self) -> Stream | None:
        if self._fresh:
            stream, _ = self._fresh.popitem(last=False)
        elif self._turn:
            if self._left_in_round <= 0:
                self._round += 1
                self._left_in_round = len(self._turn)
            self._left_in_round -= 1
            stream, _ = self._turn.popitem(last=False)
        else:
            return None
        stream.served_in = self._round
        return stream

    def _write_control(self, pieces: list[Piece]) -> None:
        pings = self._pings
        if pings.replies:
            pieces.extend([encode_header(PING, ACK, 0, opaque) for opaque in pings.replies])
            pings.replies.clear()
        if pings.requests:
            pieces.extend([encode_header(PING, SYN, 0, opaque) for opaque in pings.requests])
            pings.requests.clear()
        while self.control:
            streams = list(self.control)
            self.control.clear()
            for stream in streams:
                # a stream that opens with data takes its SYN along with it
                if not (stream.flags & SYN and stream.queued):
                    stream.write_control(pieces)
        if self.resets:
            pieces.extend([encode_header(WINDOW_UPDATE, RST, stream_id, 0) for stream_id in self.resets])
            self.resets.clear()
