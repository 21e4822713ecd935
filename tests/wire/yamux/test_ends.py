"""How a stream ends: FIN, resets at once and in order, and what comes late."""

from socksfusion.wire.yamux import (
    DataReceived,
    ResetReason,
    StreamEnded,
    StreamReset,
)
from tests.wire.yamux.frames import FIN, RST, WINDOW, data, update
from tests.wire.yamux.sides import accept, acceptor, sent

NOW = 1.0


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
