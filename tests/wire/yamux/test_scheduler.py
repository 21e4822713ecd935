"""Whose frame is next: control frames first, turns among streams, chunks cut and merged."""

import gc
from functools import partial

from socksfusion.limits import KIB
from socksfusion.wire.yamux import Session, Stream
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


# -- users (attacks.md, row J2) --------------------------------------------------------------------------------------


def accept_of(session: Session, *users: str) -> list[Stream]:
    """A stream of each user, with the ids 1, 3, 5 and so on."""
    streams = [accept(session, 1 + 2 * number) for number in range(len(users))]
    for stream, user in zip(streams, users, strict=True):
        stream.belong_to(user)
    return streams


def turns(session: Session, count: int) -> list[int]:
    """The ids of the streams whose frames are the next."""
    return [next_frame(session)[2] for _ in range(count)]


def test_j2_users_take_turns_and_the_streams_of_each() -> None:
    session = acceptor()
    for stream in accept_of(session, "greedy", "greedy", "greedy", "other", ""):
        stream.send(bytes(WINDOW))
    assert turns(session, 9) == [1, 7, 9, 3, 7, 9, 5, 7, 9]


def test_j2_a_user_who_becomes_ready_waits_behind_one_frame() -> None:
    session = acceptor()
    idle, *bulk = accept_of(session, "other", *["greedy"] * 50)
    for stream in bulk:
        stream.send(bytes(WINDOW))
    turns(session, 60)
    idle.send(b"key stroke")
    assert next_frame(session) == (0, 0, idle.id, b"key stroke")


def test_j2_an_interactive_stream_of_a_busy_user_waits_behind_one_frame_of_each() -> None:
    session = acceptor()
    idle, *bulk = accept_of(session, "0", *[str(number % 5) for number in range(50)])
    for stream in bulk:
        stream.send(bytes(WINDOW))
    turns(session, 63)
    idle.send(b"key stroke")
    assert idle.id in turns(session, 5)


def test_j2_users_who_keep_becoming_ready_do_not_starve_bulk() -> None:
    session = acceptor()
    bulk, *busy = accept_of(session, "bulk", "a", "b", "c")
    bulk.send(bytes(WINDOW))
    seen = []
    for _ in range(16):
        for stream in busy:
            if not stream.queued:
                stream.send(b"x")
        seen += turns(session, 1)
    assert seen.count(bulk.id) == 4


def test_j2_one_whose_streams_come_and_go_gets_no_more_than_one_who_sends_on() -> None:
    session = acceptor()
    bulk, *many = accept_of(session, "other", *["greedy"] * 50)
    bulk.send(bytes(WINDOW))
    seen = []
    for _ in range(8):
        for stream in many:
            if not stream.queued:
                stream.send(b"x")
        seen += turns(session, 1)
    assert seen.count(bulk.id) == 4


def test_a_stream_with_bytes_that_wait_may_get_its_user() -> None:
    session = acceptor()
    first, second, other = streams = accept_of(session, "", "", "other")
    for stream in streams:
        stream.send(bytes(2 * FRAME))
    first.belong_to("one")
    second.belong_to("one")
    assert turns(session, 6) == [other.id, first.id, other.id, second.id, first.id, second.id]
    assert not session.wants_to_send


def test_the_reset_of_a_users_last_stream_leaves_nothing_that_waits() -> None:
    session = acceptor()
    streams = accept_of(session, "one", "other")
    for stream in streams:
        stream.send(bytes(100))
    streams[0].reset()
    assert sent(session) == [(1, RST, 1, 0), (0, 0, 3, bytes(100))]
    assert not session.wants_to_send


def test_a_user_without_streams_is_forgotten() -> None:
    session = acceptor()
    for stream in accept_of(session, *map(str, range(10))):
        stream.send(bytes(100))
        stream.reset()
    sent(session)
    del stream
    gc.collect()
    assert not session.outbox._shares


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
