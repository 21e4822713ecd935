"""Sessions for tests: one side that talks to hand-made frames, and two sides back to back."""

from collections.abc import Callable, Iterable

from socksfusion.wire.yamux import (
    DataReceived,
    Event,
    PingReplied,
    Session,
    SessionFailed,
    Stream,
    StreamOpened,
    errors,
)
from tests.wire.yamux import frames

FLUSH = 256 * 1024


def sent(session: Session) -> list[tuple[int, int, int, bytes | int]]:
    """What the session sends now, as frames, without its own pings."""
    parts = []
    while session.wants_to_send:
        parts.append(b"".join(session.data_to_send(FLUSH)))
        assert parts[-1], "wants_to_send and nothing to send"
    return [frame for frame in frames.parse(b"".join(parts)) if frame[:2] != (2, frames.SYN)]


def acceptor(**arguments: object) -> Session:
    """A server side whose peer is the test; it opens by odd ids."""
    return Session(client=False, now=0.0, **arguments)  # type: ignore[arg-type]


def opener(**arguments: object) -> Session:
    """A client side whose peer is the test."""
    session = Session(client=True, now=0.0, **arguments)  # type: ignore[arg-type]
    sent(session)
    return session


def accept(session: Session, stream_id: int = 1, now: float = 0.0) -> Stream:
    """Open a stream toward an acceptor and take its ACK."""
    (event,) = session.receive_data(frames.update(stream_id, 0, frames.SYN), now)
    assert isinstance(event, StreamOpened)
    assert (1, frames.ACK, stream_id, 0) in sent(session)
    return event.stream


def failure(events: Iterable[Event]) -> SessionFailed:
    """The failure that the events end with."""
    last = list(events)[-1]
    assert isinstance(last, SessionFailed), last
    return last


def assert_fails(session: Session, bad: bytes, error: type[errors.ProtocolError], now: float = 1.0) -> None:
    """The bytes end the session with go-away 1 and no stream is kept."""
    assert isinstance(failure(session.receive_data(bad, now)).error, error)
    assert frames.parse(b"".join(session.data_to_send(1 << 20))) == [(3, 0, 0, 1)]
    assert session.streams == {}
    assert session.receive_data(bad, now) == []


class Side:
    """A session with what its application saw; ``reads`` False stops consuming."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.reads = True
        self.events: list[Event] = []
        self.received: dict[int, bytes] = {}
        self.unread: dict[int, int] = {}
        self.on_event: Callable[[Event], None] = lambda event: None

    def take(self, data: bytes, now: float) -> None:
        for event in self.session.receive_data(data, now):
            if isinstance(event, DataReceived):
                stream = event.stream
                self.received[stream.id] = self.received.get(stream.id, b"") + event.data
                self.unread[stream.id] = self.unread.get(stream.id, 0) + len(event.data)
                if self.reads:
                    self.read(stream, now)
            elif not isinstance(event, PingReplied):
                self.events.append(event)
            self.on_event(event)

    def read(self, stream: Stream, now: float) -> None:
        stream.consumed(self.unread.pop(stream.id, 0), now)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class Pair:
    """Two sides with nothing between them but time."""

    def __init__(self, **arguments: object) -> None:
        self.now = 0.0
        self.client = Side(Session(client=True, now=0.0, **arguments))  # type: ignore[arg-type]
        self.server = Side(Session(client=False, now=0.0, **arguments))  # type: ignore[arg-type]

    def pump(self, piece: int = 1 << 20) -> None:
        """Move bytes both ways until neither side has any to send."""
        moving = True
        while moving:
            moving = False
            for source, target in ((self.client, self.server), (self.server, self.client)):
                if source.session.wants_to_send:
                    moving = True
                    carried = b"".join(source.session.data_to_send(FLUSH))
                    for at in range(0, len(carried), piece):
                        target.take(carried[at : at + piece], self.now)

    def open(self) -> tuple[Stream, Stream]:
        """Open a stream from the client; gives both ends."""
        ours = self.client.session.open_stream(self.now)
        self.pump()
        return ours, self.server.session.streams[ours.id]
