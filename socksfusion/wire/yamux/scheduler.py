"""Whose frame is next: control frames, then one data frame a user in turns, whose streams take turns for it."""

from weakref import WeakValueDictionary

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
from socksfusion.wire.yamux.turns import Share, Turns


class Outbox:
    """What waits to be sent. Control frames are one a stream at most, however long the peer takes nothing.

    Users take turns, and the streams of each: a user with a thousand bulk streams gets what one with a single stream
    gets. An interactive stream waits behind one frame of each user at most (see :class:`Turns`).
    """

    __slots__ = (
        "_body_bytes",
        "_pings",
        "_shares",
        "_users",
        "control",
        "go_away",
        "nobody",
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
        self._users: Turns[Share] = Turns()
        # a share lives as long as a stream has it
        self._shares: WeakValueDictionary[str, Share] = WeakValueDictionary()
        self.nobody = Share()
        """The share of streams that have no user."""

    @property
    def waiting(self) -> bool:
        """Whether ``data_to_send`` would give anything."""
        pings = self._pings
        return bool(
            self._users.fresh
            or self._users.turn
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
        for share in (*self._users.fresh, *self._users.turn):
            for stream in (*share.fresh, *share.turn):
                size += min(stream.queued, stream.credit) + HEADER_BYTES
        return size

    def share(self, user: str) -> Share:
        """What the streams of ``user`` have together; empty: no user."""
        if not user:
            return self.nobody
        share = self._shares.get(user)
        if share is None:
            share = self._shares[user] = Share()
        return share

    def add_ready(self, stream: Stream) -> None:
        """Give a stream its place: it has bytes and credit and is in no queue yet."""
        share = stream.share
        share.add(stream)
        if not share.ready:
            self._users.add(share)

    def remove_ready(self, stream: Stream) -> None:
        """Take a stream out of its queue."""
        share = stream.share
        share.remove(stream)
        if not (share.fresh or share.turn):
            self._users.remove(share)

    def forget(self, stream: Stream) -> None:
        """Drop what waits for a stream that was reset."""
        self.control.pop(stream, None)
        if stream.flags & ACK:
            self.unsent_acks -= 1
        if stream.ready:
            self.remove_ready(stream)

    def clear(self) -> None:
        """Drop everything."""
        self.control.clear()
        self.resets.clear()
        self._users.fresh.clear()
        self._users.turn.clear()
        self._pings.requests.clear()
        self._pings.replies.clear()
        self.go_away = None

    def data_to_send(self, limit: int) -> list[Piece]:
        """Return headers and bodies in order, about ``limit`` bytes: the frame that reaches the limit is whole."""
        pieces: list[Piece] = []
        self._write_control(pieces)
        left = limit - HEADER_BYTES * len(pieces)
        users = self._users
        while left > 0 and (users.fresh or users.turn):
            share = users.next()
            stream = share.next()
            left -= stream.write_frame(pieces, self._body_bytes) + HEADER_BYTES
            if stream.queued and stream.credit:
                share.turn[stream] = None
            else:
                stream.ready = False
            if share.fresh or share.turn:
                users.turn[share] = None
            else:
                share.ready = False
        # the FINs and RSTs that waited for the data above
        self._write_control(pieces)
        if self.go_away is not None:
            # after the data, so that a last message goes before it
            pieces.append(encode_header(GO_AWAY, 0, 0, self.go_away))
            self.go_away = None
        return pieces

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
