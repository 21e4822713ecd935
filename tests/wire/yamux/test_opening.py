"""Opening a stream, data and credit on it, against hand-made frames."""

import pytest

from socksfusion.wire.yamux import (
    DataReceived,
    OpenLimit,
    ResetReason,
    StreamAcknowledged,
    StreamOpened,
    StreamReset,
)
from tests.wire.yamux.frames import ACK, FIN, RST, SYN, WINDOW, data, update
from tests.wire.yamux.sides import accept, acceptor, opener, sent

NOW = 1.0


# -- opening -----------------------------------------------------------------------------------------------------------


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


# -- data and credit ---------------------------------------------------------------------------------------------------


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
