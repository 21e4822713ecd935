"""Hostile peers, rows B4 to B6 and E2: opens, resets, and bytes that nobody reads."""

from collections.abc import Callable

import pytest

from socksfusion import limits
from socksfusion.wire.yamux import (
    DataReceived,
    ProcessBudget,
    ResetReason,
    StreamRefused,
    StreamReset,
    errors,
)
from tests.wire.yamux.frames import ACK, FIN, RST, SYN, WINDOW, data, raw, update
from tests.wire.yamux.sides import Pair, accept, acceptor, assert_fails, failure, opener, sent

NOW = 1.0


# -- B4, B5, B6: opens and resets --------------------------------------------------------------------------------------


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


# -- E2: the Agent opens nothing ---------------------------------------------------------------------------------------


def test_e2_a_foreign_open_is_reset_and_the_third_ends_the_session() -> None:
    session = opener(accept_streams=False)
    for stream_id in (2, 4):
        assert session.receive_data(data(stream_id, b"GET /", SYN), NOW) == [StreamRefused(stream_id, "foreign-open")]
        assert sent(session) == [(1, RST, stream_id, 0)]
    events = session.receive_data(update(6, 0, SYN), NOW)
    assert events[0] == StreamRefused(6, "foreign-open")
    assert isinstance(failure(events).error, errors.ForeignOpens)
    assert sent(session) == [(3, 0, 0, 1)]
