"""What holds for any input: however it is split, whatever it is, whatever credit it grants."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from socksfusion import limits
from socksfusion.wire.yamux import DataReceived, Event, Session, SessionFailed
from tests.wire.yamux import frames
from tests.wire.yamux.sides import accept, acceptor, sent

flags = st.sampled_from([0, frames.SYN, frames.ACK, frames.FIN, frames.RST, frames.SYN | frames.FIN, 0x10, 0xFFFF])
ids = st.integers(0, 9) | st.sampled_from([2**31 - 1, 2**31, 2**32 - 1])
frame = st.one_of(
    st.builds(frames.data, ids, st.binary(max_size=40), flags),
    st.builds(frames.update, ids, st.sampled_from([0, 1, 2**18, 2**32 - 1]), flags),
    st.builds(frames.ping, st.integers(0, 2**32 - 1), flags),
    st.builds(frames.go_away, st.integers(0, 3)),
    st.builds(frames.raw, st.integers(0, 2), st.integers(0, 5), flags, ids, st.integers(0, 2**32 - 1)),
    st.binary(max_size=30),
)


@st.composite
def valid_streams(draw: st.DrawFn) -> list[bytes]:
    """Correct frames of a peer that opens streams, sends, ends, resets and pings."""
    parts: list[bytes] = []
    live: list[int] = []
    following = 1
    for action in draw(
        st.lists(st.sampled_from(["open", "data", "data", "fin", "rst", "ping", "update"]), max_size=30)
    ):
        if action == "open":
            body = draw(st.binary(max_size=50))
            parts.append(frames.data(following, body, frames.SYN))
            live.append(following)
            following += 2
        elif action == "ping":
            parts.append(frames.ping(draw(st.integers(0, 2**32 - 1))))
        elif live:
            stream_id = draw(st.sampled_from(live))
            if action == "data":
                parts.append(frames.data(stream_id, draw(st.binary(min_size=1, max_size=100))))
            elif action == "update":
                parts.append(frames.update(stream_id, draw(st.integers(1, 1000))))
            else:
                flag = frames.FIN if action == "fin" else frames.RST
                parts.append(frames.data(stream_id, draw(st.binary(max_size=20)), flag))
                live.remove(stream_id)
    return parts


def merged(events: list[Event]) -> dict[int, list[object]]:
    """Events by stream in their order, with neighbouring pieces of data joined."""
    streams: dict[int, list[object]] = {}
    for event in events:
        if isinstance(event, SessionFailed):
            streams.setdefault(0, []).append(type(event.error))
            continue
        stream = getattr(event, "stream", None)
        seen = streams.setdefault(0 if stream is None else stream.id, [])
        if not isinstance(event, DataReceived):
            seen.append(type(event).__name__)
        elif seen and isinstance(seen[-1], bytes):
            seen[-1] += event.data
        else:
            seen.append(event.data)
    return streams


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    return [whole[begin:end] for begin, end in pairwise(at)]


places = st.lists(st.integers(0, 10_000), max_size=12)


@given(valid_streams(), places)
def test_any_split_of_valid_input_gives_the_same_events(parts: list[bytes], at: list[int]) -> None:
    whole = b"".join(parts)
    expected = merged(acceptor().receive_data(whole, 0.0))
    assert 0 not in expected
    session = acceptor()
    assert merged([event for piece in cut(whole, at) for event in session.receive_data(piece, 0.0)]) == expected


@given(valid_streams())
def test_every_single_byte_a_piece(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    session = acceptor()
    assert merged([event for byte in whole for event in session.receive_data(bytes([byte]), 0.0)]) == merged(
        acceptor().receive_data(whole, 0.0)
    )


@given(st.lists(frame, max_size=12), places, st.booleans())
def test_any_bytes_give_events_or_a_failure(parts: list[bytes], at: list[int], client: bool) -> None:
    whole = b"".join(parts)
    session = Session(client=client, now=0.0)
    ours = session.open_stream(0.0)
    ours.send(b"x")
    sent(session)
    seen: list[Event] = []
    for piece in cut(whole, at):
        seen += session.receive_data(piece, 0.0)
    failures = [event for event in seen if isinstance(event, SessionFailed)]
    assert failures == ([seen[-1]] if session.closed else [])
    if session.closed:
        assert sent(session) == [(3, 0, 0, 1)]
        assert session.streams == {}
    again = Session(client=client, now=0.0)
    again.open_stream(0.0).send(b"x")
    sent(again)
    assert merged(again.receive_data(whole, 0.0)) == merged(seen)


@given(valid_streams(), st.sampled_from([b"\x01", b"\x00\x09", b"\x00\x00\xff\xff"]))
def test_events_before_a_bad_frame_are_not_lost(parts: list[bytes], bad: bytes) -> None:
    good = b"".join(parts)
    expected = merged(acceptor().receive_data(good, 0.0))
    (kind,) = (expected | {0: []})[0] or [None]
    assert kind is None
    seen = merged(acceptor().receive_data(good + bad.ljust(12, b"\0"), 0.0))
    assert len(seen.pop(0)) == 1
    assert seen == expected


@given(st.lists(st.integers(0, 70_000), max_size=20), st.lists(st.integers(1, 300_000), max_size=20))
def test_any_chunks_arrive_in_order_within_any_credit(chunks: list[int], grants: list[int]) -> None:
    session = acceptor()
    stream = accept(session)
    whole = b"".join(bytes([number]) * size for number, size in enumerate(chunks))
    for number, size in enumerate(chunks):
        stream.send(bytes([number]) * size)
    credit = frames.WINDOW
    arrived = b"".join(frame[3] for frame in sent(session))  # type: ignore[misc]
    for grant in grants:
        session.receive_data(frames.update(1, grant), 0.0)
        credit += grant
        bodies = [frame[3] for frame in sent(session)]
        assert all(isinstance(body, bytes) and 0 < len(body) <= limits.FRAME_BODY_BYTES for body in bodies)
        arrived += b"".join(bodies)  # type: ignore[arg-type]
    assert arrived == whole[:credit]
    assert stream.queued == len(whole) - len(arrived)
