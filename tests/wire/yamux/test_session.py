"""A session against hand-made frames: opening, both ends of a stream, resets, pings, go-away."""

import pytest

from socksfusion.wire.yamux import (
    DataReceived,
    GoAwayReceived,
    OpenLimit,
    PingReplied,
    ResetReason,
    Session,
    SessionClosed,
    StreamAcknowledged,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from tests.wire.yamux.frames import ACK, FIN, RST, SYN, WINDOW, data, go_away, ping, update
from tests.wire.yamux.sides import Pair, accept, acceptor, failure, opener, sent

NOW = 1.0


# -- opening ----------------------------------------------------------------------------------------------------------


def test_data_queued_at_the_open_takes_the_syn_along() -> None:
    session = opener()
    stream = session.open_stream(NOW)
    stream.send(b"hello")
    assert sent(session) == [(0, SYN, 1, b"hello")]


def test_an_open_without_data_is_a_window_update() -> None:
    session = opener()
    first, second = session.open_stream(NOW), session.open_stream(NOW)
    assert (first.id, second.id) == (1, 3)
    assert sent(session) == [(1, SYN, 1, 0), (1, SYN, 3, 0)]


def test_the_server_side_opens_even_ids() -> None:
    session = acceptor()
    assert [session.open_stream(NOW).id for _ in range(3)] == [2, 4, 6]


def test_the_acceptor_acknowledges_at_once() -> None:
    session = acceptor()
    events = session.receive_data(update(1, 5, SYN), NOW)
    assert [type(event) for event in events] == [StreamOpened]
    assert sent(session) == [(1, ACK, 1, 0)]
    assert events[0].stream.credit == WINDOW + 5


def test_an_acknowledgement_is_told_once() -> None:
    session = opener()
    stream = session.open_stream(NOW)
    sent(session)
    assert not stream.acknowledged
    assert session.receive_data(update(1, 0, ACK), NOW) == [StreamAcknowledged(stream)]
    assert stream.acknowledged
    assert session.unacknowledged == 0


def test_any_frame_answers_an_open() -> None:
    """hashicorp/yamux never sends ACK for a stream that had our FIN before it was accepted."""
    session = opener()
    stream = session.open_stream(NOW)
    stream.end()
    assert sent(session) == [(1, SYN | FIN, 1, 0)]
    events = session.receive_data(data(1, b"x"), NOW)
    assert events == [StreamAcknowledged(stream), DataReceived(stream, b"x")]


def test_a_second_acknowledgement_is_a_fault_of_that_stream() -> None:
    session = opener()
    stream = session.open_stream(NOW)
    sent(session)
    session.receive_data(update(1, 0, ACK), NOW)
    (event,) = session.receive_data(update(1, 0, ACK), NOW)
    assert (event.stream, event.reason) == (stream, ResetReason.FAULT)
    assert sent(session) == [(1, RST, 1, 0)]


def test_a_rejected_open() -> None:
    session = opener()
    stream = session.open_stream(NOW)
    sent(session)
    assert session.receive_data(update(1, 0, RST), NOW) == [StreamReset(stream, ResetReason.PEER)]
    assert (session.unacknowledged, session.streams) == (0, {})
    assert not session.wants_to_send


def test_an_open_that_was_reset_before_it_left_leaves_no_trace() -> None:
    session = opener()
    stream = session.open_stream(NOW)
    stream.send(b"never")
    stream.reset()
    assert not session.wants_to_send
    assert (session.unacknowledged, session.streams) == (0, {})


def test_open_limits() -> None:
    session = opener(max_unacknowledged=2, max_streams=3)
    session.open_stream(NOW)
    session.open_stream(NOW)
    assert not session.can_open
    with pytest.raises(OpenLimit):
        session.open_stream(NOW)
    sent(session)
    session.receive_data(update(1, 0, ACK) + update(3, 0, ACK), NOW)
    session.open_stream(NOW)
    assert not session.can_open


# -- data and credit --------------------------------------------------------------------------------------------------


def test_a_piece_within_a_body_is_passed_on_as_it_is() -> None:
    session = acceptor()
    stream = accept(session)
    frame = data(1, bytes(100_000))
    session.receive_data(frame[:12], NOW)
    piece = frame[12:16_396]
    (event,) = session.receive_data(piece, NOW)
    assert event.data is piece
    assert event.stream is stream


def test_credit_goes_back_only_when_consumed_and_gathered() -> None:
    session = acceptor()
    stream = accept(session)
    session.receive_data(data(1, bytes(WINDOW)), NOW)
    assert sent(session) == []
    stream.consumed(WINDOW // 2 - 1, NOW)
    assert sent(session) == []
    stream.consumed(1, NOW)
    stream.consumed(1000, NOW)
    assert sent(session) == [(1, 0, 1, WINDOW // 2 + 1000)]


def test_no_more_can_be_consumed_than_came() -> None:
    session = acceptor()
    stream = accept(session)
    session.receive_data(data(1, b"abc"), NOW)
    with pytest.raises(ValueError, match="4 bytes consumed, 3 were unread"):
        stream.consumed(4, NOW)


def test_what_is_sent_stops_at_the_peers_window() -> None:
    session = opener()
    stream = session.open_stream(NOW)
    stream.send(bytes(WINDOW + 10))
    assert sum(len(frame[3]) for frame in sent(session)) == WINDOW
    assert not session.wants_to_send
    session.receive_data(update(1, 4, ACK), NOW)
    assert sent(session) == [(0, 0, 1, bytes(4))]
    session.receive_data(update(1, 100), NOW)
    assert sent(session) == [(0, 0, 1, bytes(6))]


def test_no_update_after_the_peers_fin() -> None:
    session = acceptor()
    stream = accept(session)
    session.receive_data(data(1, bytes(WINDOW), FIN), NOW)
    stream.consumed(WINDOW, NOW)
    assert sent(session) == []


def test_an_update_that_waits_is_not_sent_when_the_fin_comes_first() -> None:
    session = acceptor()
    stream = accept(session)
    session.receive_data(data(1, bytes(WINDOW)), NOW)
    stream.consumed(WINDOW, NOW)
    session.receive_data(update(1, 0, FIN), NOW)
    assert sent(session) == []
    stream.end()
    assert sent(session) == [(1, FIN, 1, 0)]


# -- ends -------------------------------------------------------------------------------------------------------------


def test_fin_goes_after_the_last_byte_in_a_frame_of_its_own() -> None:
    session = acceptor()
    stream = accept(session)
    stream.send(b"last")
    stream.end()
    stream.end()
    assert sent(session) == [(0, 0, 1, b"last"), (1, FIN, 1, 0)]


def test_fin_needs_no_window() -> None:
    session = acceptor()
    stream = accept(session)
    stream.send(bytes(WINDOW))
    sent(session)
    assert stream.credit == 0
    stream.end()
    assert sent(session) == [(1, FIN, 1, 0)]


def test_what_is_sent_after_the_end_is_dropped() -> None:
    session = acceptor()
    stream = accept(session)
    stream.end()
    stream.send(b"late")
    assert sent(session) == [(1, FIN, 1, 0)]


def test_a_half_closed_stream_goes_on_in_the_other_direction() -> None:
    session = acceptor()
    stream = accept(session)
    assert session.receive_data(data(1, b"bye", FIN), NOW) == [DataReceived(stream, b"bye"), StreamEnded(stream)]
    stream.send(b"answer")
    assert sent(session) == [(0, 0, 1, b"answer")]
    stream.end()
    assert (stream.closed, session.streams) == (True, {})
    assert session.take_ended() == [stream]
    assert session.take_ended() == []
    assert sent(session) == [(1, FIN, 1, 0)]


def test_a_stream_ends_when_the_peer_ends_last() -> None:
    session = acceptor()
    stream = accept(session)
    stream.end()
    assert session.take_ended() == []
    assert session.receive_data(update(1, 0, FIN), NOW) == [StreamEnded(stream)]
    assert session.take_ended() == [stream]


def test_late_updates_and_resets_of_an_ended_stream_are_ignored() -> None:
    session = acceptor()
    stream = accept(session)
    stream.end()
    session.receive_data(update(1, 0, FIN), NOW)
    sent(session)
    assert session.receive_data(update(1, 1000) + update(1, 0, RST) + update(1, 0, FIN), NOW) == []
    assert not session.wants_to_send


def test_a_reset_at_once_drops_what_is_queued() -> None:
    session = acceptor()
    stream = accept(session)
    stream.send(b"never")
    stream.reset()
    stream.reset()
    assert sent(session) == [(1, RST, 1, 0)]
    assert session.streams == {}


def test_an_ordered_reset_goes_after_the_data_within_the_window() -> None:
    session = acceptor()
    stream = accept(session)
    stream.send(bytes(WINDOW + 3))
    stream.reset(after_data=True)
    frames = sent(session)
    assert sum(len(frame[3]) for frame in frames) == WINDOW
    assert session.receive_data(data(1, b"into the void"), NOW) == []
    session.receive_data(update(1, 3), NOW)
    assert sent(session) == [(0, 0, 1, bytes(3)), (1, RST, 1, 0)]
    assert session.take_ended() == [stream]
    assert session.streams == {}


def test_an_ordered_reset_after_our_fin_has_nothing_to_wait_for() -> None:
    session = acceptor()
    stream = accept(session)
    stream.end()
    sent(session)
    stream.reset(after_data=True)
    assert sent(session) == [(1, RST, 1, 0)]
    assert session.take_ended() == [stream]


def test_what_came_before_a_reset_is_delivered_before_it() -> None:
    session = acceptor()
    stream = accept(session)
    events = session.receive_data(data(1, b"first") + data(1, b"last", RST), NOW)
    assert events == [
        DataReceived(stream, b"first"),
        DataReceived(stream, b"last"),
        StreamReset(stream, ResetReason.PEER),
    ]
    stream.consumed(9, NOW)
    assert session.budget.unread == 0
    assert sent(session) == []


def test_data_after_we_ended_and_stopped_receiving_is_answered_by_rst() -> None:
    session = acceptor()
    stream = accept(session)
    stream.end()
    stream.stop_receiving()
    sent(session)
    (event,) = session.receive_data(data(1, b"late"), NOW)
    assert (event.stream, event.reason) == (stream, ResetReason.LATE_DATA)
    assert sent(session) == [(1, RST, 1, 0)]


def test_unwanted_data_does_not_cut_what_is_still_to_be_sent() -> None:
    session = acceptor()
    stream = accept(session)
    stream.send(bytes(WINDOW + 1))
    stream.end()
    stream.stop_receiving()
    sent(session)
    assert session.receive_data(data(1, b"unwanted"), NOW) == []
    session.receive_data(update(1, 1), NOW)
    assert sent(session) == [(0, 0, 1, b"\0"), (1, FIN, 1, 0), (1, RST, 1, 0)]
    assert session.take_ended() == [stream]


def test_a_fin_after_we_stopped_receiving_is_a_clean_end() -> None:
    session = acceptor()
    stream = accept(session)
    stream.end()
    stream.stop_receiving()
    assert session.receive_data(update(1, 0, FIN), NOW) == [StreamEnded(stream)]
    assert session.take_ended() == [stream]
    assert sent(session) == [(1, FIN, 1, 0)]


def test_a_body_whose_stream_is_reset_midway_is_skipped() -> None:
    session = acceptor()
    stream = accept(session)
    frame = data(1, b"0123456789", FIN) + data(1, b"", 0)
    session.receive_data(frame[:15], NOW)
    stream.reset()
    assert session.receive_data(frame[15:22], NOW) == []
    assert session.tombstones.credit == {}


# -- session ----------------------------------------------------------------------------------------------------------


def test_the_client_pings_first_and_the_server_waits_for_the_first_frame() -> None:
    client = Session(client=True, now=0.0)
    assert b"".join(client.data_to_send(1)) == ping(0)
    server = Session(client=False, now=0.0)
    assert not server.wants_to_send
    server.receive_data(update(1, 0, SYN), NOW)
    assert b"".join(server.data_to_send(1)) == ping(0) + update(1, 0, ACK)


def test_ping_and_its_round_trip() -> None:
    session = opener()
    opaque = session.ping(2.0)
    assert b"".join(session.data_to_send(1)) == ping(opaque)
    assert session.oldest_unanswered_ping == 0.0
    assert session.receive_data(ping(0, ACK) + ping(opaque, ACK), 2.5) == [
        PingReplied(0, 2.5),
        PingReplied(opaque, 0.5),
    ]
    assert session.round_trip == 0.5
    assert session.oldest_unanswered_ping is None
    assert session.receive_data(ping(99, ACK), 2.5) == []


def test_a_ping_is_answered_with_its_value() -> None:
    session = opener()
    session.receive_data(ping(0xDEADBEEF), NOW)
    assert sent(session) == [(2, ACK, 0, 0xDEADBEEF)]


def test_after_the_peers_go_away_nothing_is_opened_and_streams_go_on() -> None:
    session = opener()
    stream = session.open_stream(NOW)
    sent(session)
    assert session.receive_data(go_away(0), NOW) == [GoAwayReceived(0)]
    assert not session.can_open
    with pytest.raises(SessionClosed):
        session.open_stream(NOW)
    stream.send(b"on")
    assert sent(session) == [(0, 0, 1, b"on")]


def test_a_last_message_goes_before_our_go_away() -> None:
    session = opener()
    session.open_stream(NOW).send(b"refused, because")
    session.go_away()
    assert sent(session) == [(0, SYN, 1, b"refused, because"), (3, 0, 0, 0)]
    assert not session.can_open


def test_a_local_failure_cuts_every_stream_and_says_why() -> None:
    session = acceptor()
    first, second = accept(session, 1), accept(session, 3)
    first.send(b"never")
    assert session.fail(2) == [first, second]
    assert session.fail(2) == []
    assert (first.closed, session.streams) == (True, {})
    assert sent(session) == [(3, 0, 0, 2)]
    for harmless in (first.end, first.reset, first.stop_receiving, lambda: first.send(b"x"), session.go_away):
        harmless()
    assert not session.wants_to_send
    assert session.receive_data(update(5, 0, SYN), NOW) == []
    with pytest.raises(SessionClosed):
        session.ping(NOW)


def test_a_failure_without_a_word() -> None:
    session = acceptor()
    session.fail(None)
    assert not session.wants_to_send


def test_events_before_a_bad_frame_are_not_lost() -> None:
    session = acceptor()
    stream = accept(session)
    events = session.receive_data(data(1, b"good") + b"\x07" + bytes(20), NOW)
    assert events[0] == DataReceived(stream, b"good")
    assert failure(events).streams == [stream]
    assert sent(session) == [(3, 0, 0, 1)]


def test_drained_streams_are_told_once_they_had_been_full() -> None:
    session = opener(send_high=1000, send_low=100)
    stream, other = session.open_stream(NOW), session.open_stream(NOW)
    other.send(bytes(1000))
    stream.send(bytes(1001))
    sent(session)
    assert session.take_drained() == [stream]
    assert session.take_drained() == []


def test_the_whole_life_of_a_stream_between_two_sessions() -> None:
    pair = Pair()
    ours, theirs = pair.open()
    ours.send(b"question")
    ours.end()
    pair.pump()
    assert pair.server.received == {1: b"question"}
    theirs.send(b"answer")
    theirs.end()
    pair.pump()
    assert pair.client.received == {1: b"answer"}
    assert pair.client.kinds() == ["StreamAcknowledged", "StreamEnded"]
    assert pair.server.kinds() == ["StreamOpened", "StreamEnded"]
    assert (pair.client.session.streams, pair.server.session.streams) == ({}, {})
