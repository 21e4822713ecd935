"""A session as a whole: pings, go-away, failures, two of them back to back."""

import pytest

from socksfusion.wire.yamux import (
    DataReceived,
    GoAwayReceived,
    PingReplied,
    Session,
    SessionClosed,
)
from tests.wire.yamux.frames import ACK, SYN, data, go_away, ping, update
from tests.wire.yamux.sides import Pair, accept, acceptor, failure, opener, sent

NOW = 1.0


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
