"""A stream's way to its target: request, policy, turn, dial, reply, relay."""

import errno
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import fail
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.agent.names import NameNotFound
from socksfusion.wire.control_messages import Running
from socksfusion.wire.messages import Unsupported, encode
from socksfusion.wire.requests import AssociateRequest, ConnectReply, ConnectRequest
from socksfusion.wire.socks5 import Reply
from tests.agent.fake_agent import Agent, lose


def test_a_target_that_accepts_is_joined_after_the_reply() -> None:
    agent = Agent()
    stream = agent.ask("192.0.2.1", 8080)
    assert agent.dialled == [("192.0.2.1", 8080)]
    assert stream.sent() == b"", "success only after the target accepted"
    target = agent.accept(0, host=IPv4Address("TCP", "192.0.2.9", 50_001))
    assert stream.reply() == ConnectReply(reply=0, host="192.0.2.9", port=50_001, detail="")
    assert agent.joined == [(target, stream)]
    assert not agent.lines
    assert agent.turns.taken == 0


def test_the_request_may_come_in_pieces() -> None:
    agent = Agent()
    stream = agent.stream()
    for byte in encode(ConnectRequest(host="192.0.2.1", port=80, timeout=10)):
        assert not agent.dialled
        stream.protocol.dataReceived(bytes([byte]))
    assert agent.dialled == [("192.0.2.1", 80)]


def test_c3_early_data_goes_to_the_target_in_order_and_its_fin_after_it() -> None:
    agent = Agent()
    stream = agent.ask(after=b"one ")
    stream.protocol.dataReceived(b"two")
    stream.protocol.readConnectionLost()
    assert stream.connected
    agent.accept(0)
    assert stream.protocol.data == b"one two"
    assert stream.protocol.ended


def test_without_fin_the_relay_hears_of_none() -> None:
    agent = Agent()
    stream = agent.ask()
    agent.accept(0)
    assert stream.protocol.data == b""
    assert not stream.protocol.ended


def test_too_much_early_data_ends_the_stream() -> None:
    agent = Agent()
    stream = agent.ask(after=b"x" * limits.EARLY_DATA_BYTES)
    assert not stream.aborted
    stream.protocol.dataReceived(b"x")
    assert stream.aborted
    assert agent.refusals.counts["early data"] == 1


def test_b4_reset_cancels_the_dial_at_once() -> None:
    agent = Agent()
    streams = [agent.ask() for _ in range(100)]
    for stream in streams:
        lose(stream)
    assert all(agent.cancelled(attempt) for attempt in range(100))
    assert agent.turns.taken == 0
    assert not agent.lines, "a dial that the client cancelled is no target that failed"


def test_b4_dials_at_once_are_bounded_and_the_rest_wait_in_order() -> None:
    agent = Agent(at_once=2)
    streams = [agent.ask(port=port) for port in range(1, 6)]
    assert [port for _, port in agent.dialled] == [1, 2]
    lose(streams[3])
    agent.fail(0, errno.ECONNREFUSED)
    agent.accept(1)
    assert [port for _, port in agent.dialled] == [1, 2, 3, 5]
    assert agent.turns.taken == 2
    assert agent.turns.peak == 2


def test_b4_a_dial_that_waited_too_long_is_not_tested() -> None:
    agent = Agent(at_once=1)
    agent.ask(timeout=86400)
    waits = agent.ask(timeout=1)
    agent.reactor.advance(limits.DIAL_WAIT_SECONDS - 1)
    assert waits.sent() == b"", "the wait is not the target's time"
    agent.reactor.advance(1)
    assert waits.reply().reply == Reply.GENERAL_FAILURE
    assert agent.refusals.counts["limits"] == 1
    assert not agent.lines, "nothing was tried"


def test_f5_open_connections_are_bounded_and_the_rest_wait_until_one_ends() -> None:
    agent = Agent(streams=2)
    streams = [agent.ask(port=port) for port in range(1, 5)]
    agent.accept(0)
    agent.fail(1, errno.ECONNREFUSED)
    assert [port for _, port in agent.dialled] == [1, 2, 3], "the refused one left its place"
    agent.accept(2)
    agent.reactor.advance(limits.DIAL_WAIT_SECONDS - 1)
    assert [port for _, port in agent.dialled] == [1, 2, 3]
    lose(streams[0])
    assert [port for _, port in agent.dialled] == [1, 2, 3, 4]
    assert streams[3].sent() == b""
    late = agent.ask(port=5)
    agent.reactor.advance(limits.DIAL_WAIT_SECONDS)
    assert late.reply().reply == Reply.GENERAL_FAILURE, "not tested, and never closed"
    lose(streams[2])
    agent.fail(3, errno.ECONNREFUSED)
    assert (agent.turns.open, agent.turns.taken, agent.turns.queued) == (0, 0, 0)


def test_f5_clients_take_turns() -> None:
    agent = Agent(at_once=1)
    for port in range(1, 5):
        agent.ask(port=port, client="greedy", scan="7")
    agent.ask(port=80, client="modest", scan="7")
    agent.ask(port=90, scan="8")
    for attempt in range(6):
        agent.fail(attempt, errno.ECONNREFUSED)
    assert [port for _, port in agent.dialled] == [1, 2, 80, 90, 3, 4]


@pytest.mark.parametrize(
    ("number", "reply"),
    [
        (errno.ECONNREFUSED, Reply.REFUSED),
        (errno.ETIMEDOUT, Reply.TTL_EXPIRED),
        (errno.EHOSTUNREACH, Reply.HOST_UNREACHABLE),
        (errno.ENETUNREACH, Reply.NETWORK_UNREACHABLE),
        (errno.EACCES, Reply.NOT_ALLOWED),
        (errno.EADDRNOTAVAIL, Reply.GENERAL_FAILURE),
    ],
)
def test_j3_a_dial_that_fails_is_answered_and_printed(number: int, reply: Reply) -> None:
    agent = Agent()
    stream = agent.ask("192.0.2.1", 81)
    agent.fail(0, number)
    answer = stream.reply()
    assert (answer.reply, answer.host, answer.port) == (reply, "", 0)
    assert errno.errorcode[number] in answer.detail
    assert stream.disconnecting
    assert agent.unreachable() == ["Target is unreachable: 192.0.2.1:81\n"]
    assert agent.refusals.counts["dial"] == (1 if reply == Reply.GENERAL_FAILURE else 0)
    assert agent.turns.taken == 0


def test_a_dial_that_times_out_is_printed() -> None:
    agent = Agent()
    stream = agent.ask("2001:db8::1", 81)
    agent.time_out(0)
    assert stream.reply().reply == Reply.TTL_EXPIRED
    assert agent.unreachable() == ["Target is unreachable: [2001:db8::1]:81\n"]


def test_a_target_that_accepts_and_resets_is_told_as_such() -> None:
    agent = Agent()
    stream = agent.ask()
    agent.fail(0, errno.ECONNRESET)
    assert stream.reply().reply == Reply.SUCCEEDED
    assert stream.reset_in_order
    assert not agent.lines


@pytest.mark.parametrize(("asked", "limit"), [(3, 3), (60, 60), (86400, limits.CONNECT_LARGEST_SECONDS)])
def test_a_dial_takes_as_long_as_asked_within_a_bound(asked: float, limit: float) -> None:
    agent = Agent()
    agent.ask(timeout=asked)
    assert agent.limit(0) == limit


@pytest.mark.parametrize("head", [b"\xff\xff", b"\x00\x02{}", b"\x00\x00", encode(Running())])
def test_a_head_that_is_no_request_resets_its_stream(head: bytes) -> None:
    agent = Agent()
    stream = agent.stream()
    stream.protocol.dataReceived(head)
    assert stream.aborted
    assert agent.refusals.counts["stream head"] == 1


def test_an_unknown_head_is_answered_unsupported() -> None:
    stream = Agent().stream()
    # MessagePack {"type": "listening"}
    record = b"\x81\xa4type\xa9listening"
    stream.protocol.dataReceived(len(record).to_bytes(2, "big") + record)
    assert stream.head() == (Unsupported(what="listening"), b"")
    assert stream.disconnecting


def test_a_stream_that_ends_before_its_request() -> None:
    stream = Agent().stream()
    stream.protocol.dataReceived(b"\x00")
    stream.protocol.readConnectionLost()
    assert stream.disconnecting
    lose(stream)


def test_j3_a_stray_exception_ends_its_own_stream() -> None:
    agent = Agent()
    agent.join_fails = True
    stream = agent.ask()
    target = agent.accept(0)
    assert stream.aborted
    assert target.aborted
    agent.join_fails = False
    other = agent.ask()
    agent.accept(1)
    assert other.reply().reply == Reply.SUCCEEDED


def test_a_lost_stream_after_the_end_is_no_error() -> None:
    agent = Agent()
    stream = agent.ask("127.0.0.1")
    lose(stream)
    assert isinstance(stream.reply(), ConnectReply)


def test_reasons_from_outside_are_harmless_in_the_reply() -> None:
    agent = Agent()
    agent.resolver.pending = fail(Failure(NameNotFound("bad\x1b" + "x" * 1000)))
    detail = agent.ask("db.example").reply().detail
    assert "\x1b" not in detail
    assert len(detail) <= limits.LOGGED_TEXT_CHARACTERS


@pytest.mark.parametrize(
    ("request_", "user"),
    [
        (ConnectRequest("192.0.2.1", 80, 10, scan="s1", client="alice"), "alice"),
        (ConnectRequest("192.0.2.1", 80, 10, scan="s1"), "s1"),
        (AssociateRequest(scan="s1", client="alice"), "alice"),
        (ConnectRequest("192.0.2.1", 80, 10), ""),
    ],
    ids=["client", "scan", "datagrams", "nobody"],
)
def test_j2_what_a_target_sends_takes_its_turn_among_its_users(request_: Any, user: str) -> None:
    stream = Agent().stream()
    stream.protocol.dataReceived(encode(request_))
    assert stream.user == user
