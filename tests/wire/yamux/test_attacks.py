"""What a hostile peer may try against the multiplexer: rows B1 to B12 and E2, each test named after its row."""

from collections.abc import Callable

import pytest

from socksfusion import limits
from socksfusion.wire.yamux import (
    DataReceived,
    ProcessBudget,
    ResetReason,
    Session,
    SessionClosed,
    StreamRefused,
    StreamReset,
    errors,
)
from tests.wire.yamux.frames import ACK, FIN, RST, SYN, WINDOW, data, go_away, parse, ping, raw, update
from tests.wire.yamux.sides import Pair, accept, acceptor, failure, opener, sent

NOW = 1.0


def assert_fails(session: Session, bad: bytes, error: type[errors.ProtocolError], now: float = NOW) -> None:
    """The bytes end the session with go-away 1 and no stream is kept."""
    assert isinstance(failure(session.receive_data(bad, now)).error, error)
    assert parse(b"".join(session.data_to_send(1 << 20))) == [(3, 0, 0, 1)]
    assert session.streams == {}
    assert session.receive_data(bad, now) == []


# -- B1, B2, B7: windows ----------------------------------------------------------------------------------------------


def test_b1_first_frame_larger_than_the_window() -> None:
    session = acceptor()
    # the header alone: no byte of the body has to come
    events = session.receive_data(raw(0, 0, SYN, 1, WINDOW + 1), NOW)
    assert [type(event).__name__ for event in events] == ["SessionFailed"]
    assert isinstance(failure(events).error, errors.WindowExceeded)
    assert failure(events).streams == []
    assert sent(session) == [(3, 0, 0, 1)]


def test_b2_window_update_past_the_largest_credit() -> None:
    assert_fails(acceptor(), update(1, 0xFFFF0000, SYN), errors.CreditOverflow)
    session = acceptor()
    accept(session)
    assert session.receive_data(update(1, 0xFFFFFFFF - WINDOW), NOW) == []
    assert_fails(session, update(1, 1), errors.CreditOverflow)


def test_b7_data_past_the_granted_window() -> None:
    session = acceptor()
    accept(session)
    assert len(session.receive_data(data(1, bytes(WINDOW)), NOW)) == 1
    assert_fails(session, data(1, b"x"), errors.WindowExceeded)


def test_b7_credit_is_granted_only_by_what_was_sent() -> None:
    """Consumed bytes whose update has not left are no credit yet."""
    session = acceptor()
    stream = accept(session)
    session.receive_data(data(1, bytes(WINDOW)), NOW)
    stream.consumed(WINDOW, NOW)
    assert_fails(session, data(1, b"x"), errors.WindowExceeded)


# -- B3: a peer that never reads --------------------------------------------------------------------------------------


def test_b3_ping_replies_are_bounded_and_the_rest_counted() -> None:
    session = acceptor()
    for opaque in range(1000):
        session.receive_data(ping(opaque), NOW)
    assert session.pings.dropped == 1000 - limits.PENDING_PING_REPLIES
    assert sent(session) == [(2, ACK, 0, opaque) for opaque in range(limits.PENDING_PING_REPLIES)]


def test_b3_a_ping_flood_ends_the_session() -> None:
    session = acceptor()
    for second in range(100):
        assert session.receive_data(ping(1) * (limits.PINGS_PER_SPAN // 10), float(second)) == []
        sent(session)
    assert_fails(session, ping(1) * (limits.PINGS_PER_SPAN + 1), errors.PingFlood, 200.0)


def test_b3_one_control_frame_a_stream_waits_whatever_happens() -> None:
    session = acceptor()
    stream = accept(session)
    for _ in range(1000):
        session.receive_data(data(1, bytes(WINDOW // 1000)), NOW)
        stream.consumed(stream.unread, NOW)
    stream.end()
    assert len(session.outbox.control) == 1
    assert sent(session) == [(1, FIN, 1, WINDOW // 1000 * 1000)]


def test_b3_tiny_buffers_with_200_streams_both_ways_do_not_stall() -> None:
    pair = Pair(frame_bytes=4096)
    streams = [pair.open() for _ in range(200)]
    size = WINDOW + 1000
    for ours, theirs in streams:
        ours.send(bytes(size))
        theirs.send(bytes(size))
    pair.pump(piece=4096)
    for side in (pair.client, pair.server):
        assert {len(received) for received in side.received.values()} == {size}


# -- B4, B5, B6: opens and resets -------------------------------------------------------------------------------------


def test_b4_rapid_reset_leaves_no_state() -> None:
    session = acceptor()
    for turn in range(10_000):
        stream_id = 2 * turn + 1
        events = session.receive_data(update(stream_id, 0, SYN) + update(stream_id, 0, RST), NOW)
        assert [type(event).__name__ for event in events] == ["StreamOpened", "StreamReset"]
    assert session.streams == {}
    assert (session.outbox.unsent_acks, len(session.tombstones.credit), session.budget.unread) == (0, 0, 0)
    assert sent(session) == []


def test_b4_rapid_reset_of_streams_that_had_something_to_send() -> None:
    session = acceptor()
    for turn in range(1000):
        stream_id = 2 * turn + 1
        (opened,) = session.receive_data(data(stream_id, b"", SYN), NOW)
        opened.stream.send(b"answer")
        session.receive_data(update(stream_id, 0, RST), NOW)
    assert sent(session) == []


@pytest.mark.parametrize(
    "fault", [lambda stream_id: data(stream_id, b"x"), lambda stream_id: update(stream_id, 0, FIN)]
)
def test_b5_streams_reset_for_the_peers_faults(fault: Callable[[int], bytes]) -> None:
    session = acceptor()
    for turn in range(limits.FAULTS_PER_SPAN):
        stream_id = 2 * turn + 1
        events = session.receive_data(update(stream_id, 0, SYN | FIN) + fault(stream_id), NOW)
        assert isinstance(events[-1], StreamReset)
        assert events[-1].reason is ResetReason.FAULT
        assert (1, RST, stream_id, 0) in sent(session)
    last = 2 * limits.FAULTS_PER_SPAN + 1
    assert_fails(session, update(last, 0, SYN | FIN) + fault(last), errors.FaultFlood)


def test_b5_a_fault_ends_its_own_stream_only() -> None:
    session = acceptor()
    good = accept(session, 1)
    accept(session, 3)
    session.receive_data(update(3, 0, FIN), NOW)
    events = session.receive_data(data(3, b"after FIN") + data(1, b"good"), NOW)
    assert [event.stream.id for event in events] == [3, 1]
    assert events[1] == DataReceived(good, b"good")


def test_b5_data_in_flight_when_we_reset_is_no_fault() -> None:
    session = acceptor()
    for turn in range(2 * limits.FAULTS_PER_SPAN):
        stream_id = 2 * turn + 1
        stream = accept(session, stream_id)
        stream.reset()
        assert session.receive_data(data(stream_id, bytes(100)), NOW) == []
        sent(session)
    accept(session, 999_999)


def test_b6_an_opener_waits_at_256_unacknowledged() -> None:
    session = opener()
    for _ in range(limits.UNACKNOWLEDGED_STREAMS):
        session.open_stream(NOW)
    with pytest.raises(errors.OpenLimit):
        session.open_stream(NOW)


def test_b6_an_acceptor_whose_acks_do_not_leave_resets_above_256() -> None:
    session = acceptor()
    count = limits.UNACKNOWLEDGED_STREAMS
    flood = b"".join(update(2 * turn + 1, 0, SYN) for turn in range(count + 1))
    events = session.receive_data(flood, NOW)
    assert events[-1] == StreamRefused(2 * count + 1, "backlog")
    frames = sent(session)
    assert frames.count((1, RST, 2 * count + 1, 0)) == 1
    assert sum(frame[1] == ACK for frame in frames) == count
    accept(session, 2 * count + 3)


def test_b6_no_more_streams_than_the_limit() -> None:
    session = acceptor(max_streams=10)
    for turn in range(10):
        accept(session, 2 * turn + 1)
    assert session.receive_data(update(99, 0, SYN), NOW) == [StreamRefused(99, "streams")]
    # what a refused opener had already sent is no attack
    assert session.receive_data(data(99, bytes(WINDOW)), NOW) == []
    assert sent(session) == [(1, RST, 99, 0)]


def test_b6_counts_come_back_to_zero() -> None:
    pair = Pair()
    for turn in range(10):
        for number in range(500):
            if not pair.client.session.can_open:
                pair.pump()
            stream = pair.client.session.open_stream(pair.now)
            if number % 5 == 1:
                stream.send(b"hello")
            if number % 5 == 2:
                stream.reset()
            if number % 5 == 3:
                pair.pump()
        pair.pump()
        for number, stream in enumerate(list(pair.server.session.streams.values())):
            stream.reset() if number % 2 else stream.end()
        for stream in list(pair.client.session.streams.values()):
            stream.end()
        pair.pump()
        for side in (pair.client, pair.server):
            session = side.session
            assert (session.streams, session.unacknowledged, session.outbox.unsent_acks) == ({}, 0, 0), turn
            assert session.can_open
            session.handle_timer(pair.now + 100 * (turn + 1))
            assert len(session.tombstones.credit) == 0


def test_b6_a_peer_that_takes_no_resets_is_ended() -> None:
    session = acceptor(max_streams=0)
    for turn in range(limits.TOMBSTONES):
        session.receive_data(update(2 * turn + 1, 0, SYN), NOW)
    assert_fails(session, update(2 * limits.TOMBSTONES + 1, 0, SYN), errors.PeerNotReading)


def test_b6_unread_beyond_the_process_bound_resets_the_largest() -> None:
    budget = ProcessBudget(unread=1_000_000)
    first, second = acceptor(budget=budget), acceptor(budget=budget)
    large, small = accept(first, 1), accept(second, 1)
    first.receive_data(data(1, bytes(WINDOW)), 1.0)
    second.receive_data(data(1, bytes(WINDOW - 1)), 2.0)
    for stream_id in (3, 5):
        accept(second, stream_id)
        assert len(second.receive_data(data(stream_id, bytes(200_000)), 3.0)) == 1
    accept(second, 7)
    events = second.receive_data(data(7, bytes(100_000)), 4.0)
    # the event comes with the session that received last, for a stream of another
    assert events[1].stream is large
    assert events[1].reason is ResetReason.UNREAD
    assert sent(first) == [(1, RST, 1, 0)]
    assert small.id in second.streams
    assert budget.unread == WINDOW - 1 + 500_000


def test_b6_among_equals_the_longest_unread_is_reset() -> None:
    budget = ProcessBudget(unread=250_000)
    session = acceptor(budget=budget)
    streams = [accept(session, stream_id) for stream_id in (1, 3, 5)]
    session.receive_data(data(1, bytes(90_001)), 1.0)
    session.receive_data(data(3, bytes(90_000)), 2.0)
    streams[0].consumed(1, 3.0)
    events = session.receive_data(data(5, bytes(90_000)), 4.0)
    assert events[1].stream is streams[1]


def test_b6_a_stream_that_was_read_to_its_end_counts_from_its_next_byte() -> None:
    budget = ProcessBudget(unread=250_000)
    session = acceptor(budget=budget)
    streams = [accept(session, stream_id) for stream_id in (1, 3, 5)]
    session.receive_data(data(1, bytes(10)) + data(3, bytes(10)), 1.0)
    streams[0].consumed(10, 2.0)
    streams[1].consumed(10, 2.5)
    session.receive_data(data(3, bytes(90_000)), 3.0)
    session.receive_data(data(1, bytes(90_000)), 4.0)
    events = session.receive_data(data(5, bytes(90_000)), 5.0)
    assert events[1].stream is streams[1]


def test_b6_2000_paused_readers_are_bounded() -> None:
    budget = ProcessBudget(unread=20_000_000)
    session = acceptor(budget=budget)
    body = data(1, bytes(100_000))[12:]
    resets = 0
    for turn in range(2000):
        stream_id = 2 * turn + 1
        accept(session, stream_id)
        events = session.receive_data(raw(0, 0, 0, stream_id, len(body)) + body, NOW)
        resets += sum(isinstance(event, StreamReset) for event in events)
        assert budget.unread <= 20_000_000
        sent(session)
    assert resets == 2000 - budget.unread // 100_000
    assert len(session.streams) == 2000 - resets
    for stream in list(session.streams.values()):
        stream.consumed(stream.unread, NOW)
    assert (budget.unread, budget.holders) == (0, {})


def test_b6_what_a_closed_stream_left_unread_still_counts_until_it_is_dropped() -> None:
    session = acceptor()
    stream = accept(session)
    session.receive_data(data(1, bytes(1000), RST), NOW)
    assert session.budget.unread == 1000
    stream.consumed(400, NOW)
    assert session.budget.unread == 600
    stream.stop_receiving()
    assert (session.budget.unread, session.budget.holders) == (0, {})


# -- B8: small and empty ----------------------------------------------------------------------------------------------


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


# -- B9: what the specification does not know -------------------------------------------------------------------------


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


# -- B10: tombstones --------------------------------------------------------------------------------------------------


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


# -- B11, B12: ends ---------------------------------------------------------------------------------------------------


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


# -- E2: the Agent opens nothing --------------------------------------------------------------------------------------


def test_e2_a_foreign_open_is_reset_and_the_third_ends_the_session() -> None:
    session = opener(accept_streams=False)
    for stream_id in (2, 4):
        assert session.receive_data(data(stream_id, b"GET /", SYN), NOW) == [StreamRefused(stream_id, "foreign-open")]
        assert sent(session) == [(1, RST, stream_id, 0)]
    events = session.receive_data(update(6, 0, SYN), NOW)
    assert events[0] == StreamRefused(6, "foreign-open")
    assert isinstance(failure(events).error, errors.ForeignOpens)
    assert sent(session) == [(3, 0, 0, 1)]
