"""Whose frame is next: control frames first, turns among streams, chunks cut and merged."""

from functools import partial

from socksfusion.limits import KIB
from tests.wire.yamux import sides
from tests.wire.yamux.frames import ACK, FIN, RST, SYN, WINDOW, data, parse, ping, update
from tests.wire.yamux.sides import accept, sent

ONE_FRAME = 1
FRAME = 64 * KIB
"""Four of them fill a window, whatever the product's own default is."""

acceptor = partial(sides.acceptor, frame_bytes=FRAME)
opener = partial(sides.opener, frame_bytes=FRAME)


def next_frame(session: object) -> tuple[int, int, int, bytes | int]:
    """The one frame that a limit of a byte lets go."""
    (frame,) = parse(b"".join(session.data_to_send(ONE_FRAME)))  # type: ignore[attr-defined]
    return frame


def test_a_large_chunk_is_cut_into_frames() -> None:
    session = acceptor()
    stream = accept(session)
    chunk = bytes(range(256)) * (150 * KIB // 256)
    stream.send(chunk)
    frames = sent(session)
    assert [len(frame[3]) for frame in frames] == [FRAME, FRAME, 150 * KIB - 2 * FRAME]
    assert b"".join(frame[3] for frame in frames) == chunk


def test_small_chunks_are_merged_into_one_frame() -> None:
    session = acceptor()
    stream = accept(session)
    for letter in b"abc":
        stream.send(bytes([letter]))
    assert sent(session) == [(0, 0, 1, b"abc")]
    stream.send(b"x" * (FRAME - 1))
    stream.send(b"yz")
    assert [frame[3][-1:] for frame in sent(session)] == [b"y", b"z"]


def test_a_whole_chunk_is_not_copied() -> None:
    session = acceptor()
    stream = accept(session)
    chunk = bytes(FRAME)
    stream.send(chunk)
    assert session.data_to_send(1 << 20)[1] is chunk


def test_streams_take_turns() -> None:
    session = acceptor()
    streams = [accept(session, stream_id) for stream_id in (1, 3, 5)]
    for stream in streams:
        stream.send(bytes(2 * FRAME))
    assert [frame[2] for frame in sent(session)] == [1, 3, 5, 1, 3, 5]


def test_a_stream_that_becomes_ready_waits_behind_one_frame() -> None:
    session = acceptor()
    bulk = [accept(session, stream_id) for stream_id in range(1, 101, 2)]
    idle = accept(session, 201)
    for stream in bulk:
        stream.send(bytes(WINDOW))
    for _ in range(120):
        next_frame(session)
    idle.send(b"key stroke")
    assert next_frame(session) == (0, 0, 201, b"key stroke")


def test_streams_that_keep_becoming_ready_do_not_starve_bulk() -> None:
    session = acceptor()
    bulk = accept(session, 1)
    busy = [accept(session, stream_id) for stream_id in (3, 5, 7)]
    bulk.send(bytes(WINDOW))
    turns = []
    for _ in range(16):
        for stream in busy:
            if not stream.queued:
                stream.send(b"x")
        turns.append(next_frame(session)[2])
    assert turns.count(1) == 4
    assert max(len(gap) for gap in "".join("b" if turn == 1 else "." for turn in turns).split("b")) <= 6


def test_control_frames_go_before_data() -> None:
    session = acceptor()
    bulk, ended = accept(session, 1), accept(session, 3)
    bulk.send(bytes(WINDOW))
    session.receive_data(data(1, bytes(WINDOW)), 0.0)
    bulk.consumed(WINDOW, 0.0)
    session.receive_data(ping(7) + update(5, 0, SYN), 0.0)
    opaque = session.ping(0.0)
    ended.end()
    session.streams[5].reset()
    frames = parse(b"".join(session.data_to_send(1 << 20)))
    assert [frame for frame in frames if frame[0] == 0] == frames[5:]
    assert frames[:5] == [(2, ACK, 0, 7), (2, SYN, 0, opaque), (1, 0, 1, WINDOW), (1, FIN, 3, 0), (1, RST, 5, 0)]


def test_a_call_gives_about_the_limit_and_whole_frames() -> None:
    session = opener()
    session.open_stream(0.0).send(bytes(WINDOW))
    pieces = session.data_to_send(100_000)
    assert sum(len(piece) for piece in pieces) == 2 * (FRAME + 12)


def test_queued_bytes_counts_what_could_be_sent_now() -> None:
    session = opener()
    sent(session)
    assert session.queued_bytes == 0
    stream = session.open_stream(0.0)
    stream.send(bytes(WINDOW + 1000))
    assert WINDOW <= session.queued_bytes < WINDOW + 100
    sent(session)
    assert (session.queued_bytes, stream.queued) == (0, 1000)
    assert not session.wants_to_send
