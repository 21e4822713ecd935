"""Which stream ids the peer has used."""

from typing import Final

from socksfusion.wire.yamux.errors import BadStreamId

_REMEMBERED_GAPS: Final = 256
"""Ids that the peer passed over and may still use. hashicorp/yamux gives ids and sends SYNs in separate steps, so opens
at the same time arrive out of order; an opener has at most 256 un-ACKed."""


class PeerIds:
    """The peer's ids, odd or even, each to be used once. Memory is bounded whatever the peer skips."""

    __slots__ = ("_first", "_highest", "_skipped")

    def __init__(self, *, odd: bool) -> None:
        self._first = 1 if odd else 2
        self._highest = self._first - 2
        self._skipped: dict[int, None] = {}

    def claim(self, stream_id: int) -> None:
        """Take ``stream_id`` for a stream that the peer opens; raises BadStreamId."""
        if stream_id == 0 or stream_id % 2 != self._first % 2:
            raise BadStreamId(f"the peer may not open stream {stream_id}")
        if stream_id <= self._highest:
            if stream_id not in self._skipped:
                raise BadStreamId(f"stream {stream_id} was opened before")
            del self._skipped[stream_id]
            return
        begin = max(self._highest + 2, stream_id - 2 * _REMEMBERED_GAPS)
        for skipped in range(begin, stream_id, 2):
            self._skipped[skipped] = None
        while len(self._skipped) > _REMEMBERED_GAPS:
            del self._skipped[next(iter(self._skipped))]
        self._highest = stream_id

    def used(self, stream_id: int) -> bool:
        """Tell whether the peer has opened this one (of its own parity) at some time."""
        return self._first <= stream_id <= self._highest and stream_id not in self._skipped
