"""A stream's way to its target: request, policy, turn, dial, reply, relay."""

import errno
from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.agent.dial import Dialler
from socksfusion.agent.messages import Messages
from socksfusion.agent.names import NameNotFound, ResolverFailed
from socksfusion.agent.policy import Policy
from socksfusion.agent.targets import TargetFactory
from socksfusion.agent.turns import Turns
from socksfusion.refusals import Refusals
from socksfusion.wire.messages import ConnectReply, ConnectRequest, Running, Unsupported, encode
from socksfusion.wire.socks5 import Reply
from tests.agent.fake_network import FakeNetwork
from tests.agent.fake_stream import FakeStream
from tests.agent.test_policy import LITERALS, NUMERIC_NAMES


@implementer(IHalfCloseableProtocol)
class Joined(Protocol):
    """The relay's protocol on the stream, which records."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        assert not self.ended, "data after FIN"
        self.data += data

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass


class FakeResolver:
    """Answers from ``answers``, and from ``pending`` where the test wants to be asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        self.answers: dict[str, list[str]] = {}
        self.pending: Deferred[list[str]] | None = None

    def resolve(self, name: str, seconds: float) -> "Deferred[list[str]]":
        self.asked.append((name, seconds))
        if self.pending is not None:
            return self.pending
        if name in self.answers:
            return succeed(self.answers[name])
        return fail(NameNotFound("name not resolved"))


class Agent(FakeNetwork):
    """A target factory over a fake network, resolver and relay."""

    def __init__(self, *, policy: Policy | None = None, at_once: int = 1000) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.resolver = FakeResolver()
        self.refusals = Refusals(self.reactor.seconds)
        self.turns = Turns(self.reactor, at_once=at_once)
        self.joined: list[tuple[Any, FakeStream]] = []
        self.join_fails = False
        self.factory = TargetFactory(
            seconds=self.reactor.seconds,
            policy=policy or Policy(owns=lambda _: False),
            resolver=self.resolver,
            dialler=Dialler(self.reactor, prepare=lambda _: None),
            turns=self.turns,
            messages=Messages(self.lines.append),
            refusals=self.refusals,
            join=self.join,
        )

    def join(self, target: Any, stream: Any) -> None:
        if self.join_fails:
            raise ZeroDivisionError
        stream.protocol = Joined()
        self.joined.append((target, stream))

    def stream(self) -> FakeStream:
        stream = FakeStream()
        stream.protocol = self.factory.buildProtocol(None)
        stream.protocol.makeConnection(stream)
        return stream

    def ask(self, host: str = "192.0.2.1", port: int = 80, timeout: float = 10, after: bytes = b"") -> FakeStream:
        stream = self.stream()
        stream.protocol.dataReceived(encode(ConnectRequest(host=host, port=port, timeout=timeout)) + after)
        return stream

    def unreachable(self) -> list[str]:
        return [line.split(" ", 1)[1] for line in self.lines]


def lose(stream: FakeStream) -> None:
    stream.protocol.connectionLost(connectionDone)


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
    assert agent.refusals.counts["dials at once"] == 1
    assert not agent.lines, "nothing was tried"


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


def test_a_name_is_resolved_here_and_its_time_counts() -> None:
    agent = Agent()
    agent.resolver.pending = Deferred()
    agent.ask("db.example", timeout=8)
    assert agent.resolver.asked == [("db.example", limits.RESOLVER_SECONDS)]
    agent.reactor.advance(3)
    agent.resolver.pending.callback(["192.0.2.7"])
    assert agent.dialled == [("192.0.2.7", 80)]
    assert agent.limit(0) == 5


def test_a_look_up_gets_no_more_time_where_the_dial_does() -> None:
    agent = Agent()
    agent.ask("db.example", timeout=60)
    assert agent.resolver.asked == [("db.example", limits.RESOLVER_SECONDS)]


def test_a_short_limit_bounds_the_look_up_too() -> None:
    agent = Agent()
    agent.ask("db.example", timeout=2)
    assert agent.resolver.asked == [("db.example", 2)]


def test_an_unresolved_name_is_printed_as_asked() -> None:
    agent = Agent()
    stream = agent.ask("no\x1bwhere.example", 443)
    assert stream.reply().reply == Reply.HOST_UNREACHABLE
    assert agent.unreachable() == [r"Target is unreachable: no\x1bwhere.example:443" + "\n"]
    assert not agent.dialled


def test_a_look_up_that_could_not_be_tried_is_not() -> None:
    agent = Agent()
    agent.resolver.pending = fail(ResolverFailed("full"))
    assert agent.ask("db.example").reply().reply == Reply.GENERAL_FAILURE
    assert not agent.lines
    assert agent.refusals.counts["resolver"] == 1


def test_b4_reset_cancels_the_look_up() -> None:
    agent = Agent()
    cancelled: list[object] = []
    agent.resolver.pending = Deferred(cancelled.append)
    lose(agent.ask("db.example"))
    assert len(cancelled) == 1
    assert not agent.lines


def test_c4_f1_every_open_is_judged_and_none_that_is_guarded_is_dialled() -> None:
    agent = Agent()
    # the resolver's reading of such a name, by inet_aton (POSIX, inet_addr)
    agent.resolver.answers = {name: ["127.0.0.1"] for name in NUMERIC_NAMES}
    assert len(LITERALS) + len(NUMERIC_NAMES) >= 60
    for host in [*LITERALS, *NUMERIC_NAMES]:
        agent.ask()
        stream = agent.ask(host)
        assert stream.reply().reply == Reply.NOT_ALLOWED, host
        assert stream.disconnecting
    assert set(agent.hosts) == {"192.0.2.1"}
    assert not agent.lines, "a refusal is no target that failed"
    assert sum(agent.refusals.counts.values()) == len(LITERALS) + len(NUMERIC_NAMES)
    assert agent.refusals.counts["policy: own host"] > 0


def test_c5_denied_answers_are_dropped_and_nothing_is_looked_up_twice() -> None:
    agent = Agent()
    agent.resolver.answers["rebind.example"] = ["127.0.0.1", "192.0.2.7"]
    stream = agent.ask("rebind.example")
    assert agent.hosts == ["192.0.2.7"]
    agent.reactor.advance(1)
    assert agent.hosts == ["192.0.2.7"]
    agent.fail(0, errno.ECONNREFUSED)
    assert agent.hosts == ["192.0.2.7"]
    assert stream.reply().reply == Reply.REFUSED
    assert len(agent.resolver.asked) == 1
    assert agent.refusals.counts["policy: own host"] == 1


def test_c5_all_answers_denied() -> None:
    agent = Agent()
    agent.resolver.answers["rebind.example"] = ["127.0.0.1", "::1"]
    assert agent.ask("rebind.example").reply().reply == Reply.NOT_ALLOWED
    assert not agent.dialled


def test_an_answer_in_two_spellings_is_dialled_once() -> None:
    agent = Agent()
    agent.resolver.answers["db.example"] = ["::ffff:192.0.2.7", "192.0.2.7"]
    agent.ask("db.example")
    agent.reactor.advance(1)
    assert agent.hosts == ["192.0.2.7"]


def test_an_address_that_became_the_machine_s_own_while_its_dial_waited_is_denied() -> None:
    own: Sequence[str] = []
    agent = Agent(policy=Policy(owns=lambda address: str(address) in own), at_once=1)
    agent.ask()
    waits = agent.ask("192.0.2.5")
    own = ["192.0.2.5"]
    agent.accept(0)
    assert waits.reply().reply == Reply.NOT_ALLOWED
    assert agent.hosts == ["192.0.2.1"]
    assert agent.turns.taken == 0


def test_j3_where_the_policy_cannot_tell_nothing_is_dialled() -> None:
    def no_descriptor(_address: object) -> bool:
        raise OSError(errno.EMFILE, "too many open files")

    agent = Agent(policy=Policy(owns=no_descriptor))
    answer = agent.ask().reply()
    assert answer.reply == Reply.GENERAL_FAILURE
    assert "EMFILE" in answer.detail
    assert not agent.dialled


@pytest.mark.parametrize("head", [b"\xff\xff", b"\x00\x02{}", b"\x00\x00", encode(Running())])
def test_a_head_that_is_no_request_resets_its_stream(head: bytes) -> None:
    agent = Agent()
    stream = agent.stream()
    stream.protocol.dataReceived(head)
    assert stream.aborted
    assert agent.refusals.counts["stream head"] == 1


def test_an_unknown_head_is_answered_unsupported() -> None:
    stream = Agent().stream()
    # MessagePack {"type": "associate"}
    record = b"\x81\xa4type\xa9associate"
    stream.protocol.dataReceived(len(record).to_bytes(2, "big") + record)
    assert stream.head() == (Unsupported(what="associate"), b"")
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
