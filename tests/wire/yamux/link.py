"""Two sessions with a link between them that has a delay and a rate, in simulated time."""

from collections import deque

from socksfusion.wire.yamux import DataReceived, Session, Stream
from socksfusion.wire.yamux.states import Sending

_STEPS_A_ROUND_TRIP = 40
_CHUNK = bytes(64 * 1024)


class Link:
    """A client that sends on streams without end and a server that reads ``reader_rate`` bytes a second (None: all)."""

    def __init__(
        self,
        *,
        round_trip: float,
        rate: float,
        reader_rate: float | None = None,
        reader_burst: int = 1,
        **arguments: int,
    ) -> None:
        self.now = 0.0
        self._round_trip = round_trip
        self._rate = rate
        self._reader_rate = reader_rate
        self._reader_burst = reader_burst
        self._steps = 0
        self._may_send = 0.0
        self._to_server: deque[tuple[float, bytes]] = deque()
        self._to_client: deque[tuple[float, bytes]] = deque()
        # small frames: their length is the graininess of the simulated line
        self.client = Session(client=True, now=0.0, frame_bytes=len(_CHUNK))
        self.server = Session(client=False, now=0.0, **arguments)
        self.read = 0

    def open(self) -> Stream:
        return self.client.open_stream(self.now)

    def run(self, seconds: float) -> None:
        """Let simulated time pass."""
        until = self.now + seconds
        while self.now < until:
            self._step(self._round_trip / _STEPS_A_ROUND_TRIP)

    def _step(self, length: float) -> None:
        self.now += length
        self._steps += 1
        for stream in list(self.client.streams.values()):
            while stream.sending is Sending.OPEN and stream.queued < 16 * len(_CHUNK):
                stream.send(_CHUNK)
        arrival = self.now + self._round_trip / 2
        self._may_send = min(self._may_send + self._rate * length, self._rate * length)
        if self._may_send > 0:
            # a frame is sent whole: what is over the rate is taken from the next steps
            carried = b"".join(self.client.data_to_send(int(self._may_send) + 1))
            self._may_send -= len(carried)
            self._to_server.append((arrival, carried))
        self._deliver(self._to_server, self.server)
        if self._steps % self._reader_burst == 0:
            self._read(length * self._reader_burst)
        self._to_client.append((arrival, b"".join(self.server.data_to_send(1 << 20))))
        self._deliver(self._to_client, self.client)

    def _deliver(self, queue: deque[tuple[float, bytes]], session: Session) -> None:
        while queue and queue[0][0] <= self.now:
            _, carried = queue.popleft()
            for event in session.receive_data(carried, self.now):
                assert not (isinstance(event, DataReceived) and session is self.client)

    def _read(self, length: float) -> None:
        share = (
            None if self._reader_rate is None else int(self._reader_rate * length / max(1, len(self.server.streams)))
        )
        for stream in list(self.server.streams.values()):
            size = stream.unread if share is None else min(share, stream.unread)
            stream.consumed(size, self.now)
            self.read += size
