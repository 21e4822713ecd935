"""Hostile peers, rows B8 to B12: odd frames, frames for streams that are gone, ends of a session."""

import pytest

from socksfusion import limits
from socksfusion.wire.yamux import (
    DataReceived,
    PingReplied,
    SessionClosed,
    StreamRefused,
    errors,
)
from tests.wire.yamux.frames import ACK, FIN, RST, SYN, WINDOW, data, go_away, ping, raw, update
from tests.wire.yamux.sides import Pair, accept, acceptor, assert_fails, failure, opener, sent

NOW = 1.0


# -- B8: small and empty -----------------------------------------------------------------------------------------------


def test_b8_one_byte_windows_make_one_byte_frames_and_no_queue() -> None:
    session = opener()
    streams = []
    for turn in range(1000):
        streams.append(session.open_stream(NOW))
        streams[-1].send(bytes(WINDOW + 3))
        sent(session)
        session.receive_data(update(2 * turn + 1, 0, ACK), NOW)
    for _ in range(3):
        session.receive_data(b"".join(update(stream.id, 1) for stream in streams), NOW)
        frames = sent(session)
        assert [(frame[2], len(frame[3])) for frame in frames] == [(stream.id, 1) for stream in streams]
    assert not session.wants_to_send


@pytest.mark.parametrize("empty", [data(1), update(1)], ids=["data", "update"])
def test_b8_empty_frames_in_a_flood_end_the_session(empty: bytes) -> None:
    session = acceptor()
    accept(session)
    assert session.receive_data(empty * limits.EMPTY_FRAMES_PER_SPAN, NOW) == []
    assert_fails(session, empty, errors.EmptyFrameFlood, NOW + 9.9)


def test_b8_a_reader_may_pause_for_hours() -> None:
    session = acceptor()
    stream = accept(session)
    session.receive_data(data(1, bytes(WINDOW)), NOW)
    session.handle_timer(NOW + 24 * 3600)
    assert session.streams == {1: stream}
    stream.consumed(WINDOW, NOW + 24 * 3600)
    assert sent(session) == [(1, 0, 1, WINDOW)]


# -- B9: what the specification does not know --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (raw(1, 0, 0, 1, 0), errors.BadHeader),
        (raw(0, 4, 0, 1, 0), errors.BadHeader),
        (raw(0, 255, 0, 1, 0), errors.BadHeader),
        (raw(0, 0, 0x10, 1, 0), errors.BadHeader),
        (raw(0, 1, 0x8000, 1, 0), errors.BadHeader),
        (raw(0, 1, SYN | ACK, 5, 0), errors.BadHeader),
        (raw(0, 1, SYN | RST, 5, 0), errors.BadHeader),
        (raw(0, 2, 0, 0, 7), errors.BadHeader),
        (raw(0, 2, FIN, 0, 7), errors.BadHeader),
        (raw(0, 2, SYN, 1, 7), errors.BadStreamId),
        (raw(0, 3, 0, 1, 0), errors.BadHeader),
        (raw(0, 3, SYN, 0, 0), errors.BadHeader),
        (update(2, 0, SYN), errors.BadStreamId),
        (update(0, 0, SYN), errors.BadStreamId),
        (update(1, 0, SYN), errors.BadStreamId),
        (data(1, b"x", SYN), errors.BadStreamId),
        (update(0, 5), errors.UnknownStream),
        (data(0, b"x"), errors.UnknownStream),
        (data(3, b"x"), errors.UnknownStream),
        (update(2, 5), errors.UnknownStream),
        (update(3, 0, RST), errors.UnknownStream),
    ],
)
def test_b9_bad_frames_end_the_session(bad: bytes, error: type[errors.ProtocolError]) -> None:
    session = acceptor()
    accept(session)
    assert_fails(session, bad, error)


def test_b9_an_id_is_used_once() -> None:
    session = acceptor()
    stream = accept(session, 1)
    stream.end()
    session.receive_data(update(1, 0, FIN), NOW)
    sent(session)
    assert_fails(session, update(1, 0, SYN), errors.BadStreamId)


def test_b9_ids_may_come_out_of_order_and_once() -> None:
    """hashicorp/yamux gives ids and sends SYNs in separate steps."""
    session = acceptor()
    for stream_id in (5, 1, 7, 3):
        accept(session, stream_id)
    assert_fails(session, update(3, 0, SYN), errors.BadStreamId)


def test_b9_skipped_ids_take_bounded_memory() -> None:
    session = acceptor()
    for turn in range(1, 20):
        accept(session, turn * 100_000_001 // 2 * 2 + 1)
    assert len(session.peer_ids._skipped) <= 256


def test_b9_our_ids_end_before_half_of_the_field() -> None:
    session = opener()
    session._next_id = 2**31 - 1
    assert session.open_stream(NOW).id == 2**31 - 1
    assert session.used_up
    assert not session.can_open
    with pytest.raises(errors.OpenLimit):
        session.open_stream(NOW)


@pytest.mark.parametrize("answer", [data(1, b"x"), update(1, 5, ACK), update(1, 0, RST), data(1, b"x", RST)])
def test_b9_a_frame_for_an_open_that_has_not_left(answer: bytes) -> None:
    session = opener()
    session.open_stream(NOW)
    assert isinstance(failure(session.receive_data(answer, NOW)).error, errors.UnknownStream)


# -- B10: tombstones ---------------------------------------------------------------------------------------------------


def test_b10_what_was_in_flight_at_our_reset_is_skipped_and_others_go_on() -> None:
    session = acceptor()
    reset, other = accept(session, 1), accept(session, 3)
    reset.reset()
    for _ in range(WINDOW // 65536):
        events = session.receive_data(data(1, bytes(65536)) + data(3, b"on"), NOW)
        assert events == [DataReceived(other, b"on")]
    assert_fails(session, data(1, b"x"), errors.WindowExceeded)


def test_b10_12_mib_in_flight_of_a_grown_window() -> None:
    session = acceptor()
    stream = accept(session)
    session.receive_data(ping(0, ACK), 0.1)
    now = 1.0
    while stream.window.size < 16 * 1024 * 1024:
        now += 0.1
        session.receive_data(data(1, bytes(stream.window.credit)), now)
        stream.consumed(stream.unread, now)
        sent(session)
    stream.reset()
    other = accept(session, 3, now)
    for _ in range(12):
        assert session.receive_data(data(1, bytes(1024 * 1024)), now) == []
    assert session.receive_data(data(3, b"on"), now) == [DataReceived(other, b"on")]


def test_b10_a_tombstone_is_gone_at_the_peers_fin_or_rst() -> None:
    session = acceptor()
    for stream_id, flag in ((1, FIN), (3, RST)):
        accept(session, stream_id).reset()
        assert stream_id in session.tombstones.credit
        session.receive_data(update(stream_id, 0, flag), NOW)
        assert stream_id not in session.tombstones.credit


def test_b10_a_tombstone_is_gone_after_a_minute() -> None:
    session = acceptor()
    assert session.next_timer() is None
    accept(session, 1, now=5.0).reset()
    assert session.next_timer() == 65.0
    session.handle_timer(6.0)
    assert session.next_timer() == 66.0
    session.handle_timer(65.9)
    assert 1 in session.tombstones.credit
    session.handle_timer(66.0)
    assert (len(session.tombstones.credit), session.next_timer()) == (0, None)


def test_b10_tombstones_are_bounded() -> None:
    session = acceptor()
    for turn in range(limits.TOMBSTONES + 10):
        accept(session, 2 * turn + 1).reset()
        if turn % 100 == 0:
            sent(session)
    assert len(session.tombstones.credit) == limits.TOMBSTONES
    assert session.receive_data(data(1, b"late"), NOW) == []


def test_b10_a_huge_header_allocates_nothing() -> None:
    session = acceptor()
    accept(session, 1).reset()
    assert_fails(session, raw(0, 0, 0, 1, 2**32 - 1), errors.WindowExceeded)
    session = acceptor()
    accept(session, 1)
    assert_fails(session, raw(0, 0, 0, 1, 2**32 - 1), errors.WindowExceeded)


def test_b10_a_trickle_is_passed_on_as_it_comes() -> None:
    session = acceptor()
    accept(session, 1)
    session.receive_data(raw(0, 0, 0, 1, WINDOW), NOW)
    for _ in range(100):
        (event,) = session.receive_data(b"x", NOW)
        assert event.data == b"x"
    assert session.budget.unread == 100


def test_b10_data_for_a_stream_that_ended_cleanly_is_a_fault_and_bounded() -> None:
    session = acceptor()
    stream = accept(session)
    stream.end()
    session.receive_data(update(1, 0, FIN), NOW)
    sent(session)
    assert session.receive_data(data(1, b"x") * limits.FAULTS_PER_SPAN, NOW) == []
    assert_fails(session, data(1, b"x"), errors.FaultFlood)
    session = acceptor()
    stream = accept(session)
    stream.end()
    session.receive_data(update(1, 0, FIN), NOW)
    sent(session)
    assert_fails(session, raw(0, 0, 0, 1, limits.STREAM_WINDOW_BYTES + 1), errors.WindowExceeded)


# -- B11, B12: ends ----------------------------------------------------------------------------------------------------


def test_b11_a_failed_write_ends_every_stream_and_what_came_is_kept() -> None:
    session = acceptor()
    stream = accept(session)
    session.receive_data(data(1, b"came"), NOW)
    stream.send(b"stuck")
    assert session.fail() == [stream]
    assert stream.closed
    stream.consumed(4, NOW)
    assert session.budget.unread == 0


def test_b11_a_link_that_stalls_loses_nothing() -> None:
    pair = Pair()
    ours, _ = pair.open()
    ours.send(bytes(WINDOW))
    held = [b"".join(pair.client.session.data_to_send(1 << 20))]
    pair.now += 15.0
    pair.client.session.ping(pair.now)
    ours.send(b"after the stall")
    held.append(b"".join(pair.client.session.data_to_send(1 << 20)))
    pair.now += 15.0
    for piece in held:
        pair.server.take(piece, pair.now)
    pair.pump()
    assert pair.server.received[1] == bytes(WINDOW) + b"after the stall"


def test_b12_pings_do_not_wait_behind_data() -> None:
    session = opener()
    for _ in range(100):
        session.open_stream(NOW).send(bytes(WINDOW))
    session.data_to_send(1 << 20)
    session.receive_data(ping(42), NOW)
    opaque = session.ping(NOW)
    assert b"".join(session.data_to_send(1)).startswith(ping(42, ACK) + ping(opaque))


def test_b12_a_frozen_peer_shows_in_the_oldest_unanswered_ping() -> None:
    session = opener()
    session.receive_data(ping(0, ACK), 0.01)
    for now in (15.0, 30.0):
        session.ping(now)
        sent(session)
    assert session.oldest_unanswered_ping == 15.0
    assert session.fail() == []


def test_b12_a_peer_that_answers_no_ping_is_not_remembered_for_ever() -> None:
    session = opener()
    for now in range(1000):
        session.ping(float(now))
        sent(session)
    assert session.oldest_unanswered_ping == 1000.0 - limits.UNANSWERED_PINGS
    last = session.ping(1000.0)
    assert session.receive_data(ping(last, ACK) + ping(1, ACK), 1000.25) == [PingReplied(last, 0.25)]


def test_b12_pings_that_can_not_be_sent_do_not_pile_up() -> None:
    session = opener()
    asked = [session.ping(float(now)) for now in range(1000)]
    last = asked[-limits.UNANSWERED_PINGS :]
    assert b"".join(session.data_to_send(1)) == b"".join(map(ping, last))


def test_b12_a_syn_after_our_go_away_is_reset() -> None:
    session = acceptor()
    accept(session, 1)
    session.go_away()
    assert session.receive_data(data(3, b"late", SYN), NOW) == [StreamRefused(3, "going-away")]
    assert sent(session) == [(1, RST, 3, 0), (3, 0, 0, 0)]
    assert list(session.streams) == [1]


@pytest.mark.parametrize("code", [0, 1, 2, 77])
def test_b12_no_opens_after_the_peers_go_away(code: int) -> None:
    session = opener()
    (event,) = session.receive_data(go_away(code), NOW)
    assert event.code == code
    with pytest.raises(SessionClosed):
        session.open_stream(NOW)
