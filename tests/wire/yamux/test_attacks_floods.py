"""Hostile peers, rows B1 to B3 and B7: windows overrun, and a peer that never reads."""

from socksfusion import limits
from socksfusion.wire.yamux import (
    errors,
)
from tests.wire.yamux.frames import ACK, FIN, SYN, WINDOW, data, ping, raw, update
from tests.wire.yamux.sides import Pair, accept, acceptor, assert_fails, failure, sent

NOW = 1.0


# -- B1, B2, B7: windows -----------------------------------------------------------------------------------------------


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


# -- B3: a peer that never reads ---------------------------------------------------------------------------------------


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
