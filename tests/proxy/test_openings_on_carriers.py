"""Router, opening and carrier together: what a Client is told in each state of its opening, and what leaves the Proxy.

The Agent is the test's: it answers where the test lets it.
"""

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksfusion import limits
from socksfusion.proxy.access import Access
from socksfusion.proxy.accounts import Accounts
from socksfusion.proxy.live import LiveStreams
from socksfusion.proxy.opening import Opened
from socksfusion.proxy.routing import Router
from socksfusion.proxy.scans import Scans
from socksfusion.wire.control_messages import Running, ScanStarted
from socksfusion.wire.messages import HeadReader, encode
from socksfusion.wire.requests import ConnectReply, ConnectRequest
from socksfusion.wire.socks5 import Reply
from tests.proxy.accounts import client
from tests.proxy.accounts import digest as token
from tests.proxy.gatehouse import Gatehouse, Visitor, digest
from tests.tunnel.pair import HalfCloseable


class Office:
    """A gatehouse with scans and a router."""

    def __init__(self) -> None:
        self.house = Gatehouse()
        self.house.book.register("acme", digest())
        self.scans = Scans(self.house.clock, self.house.book, self.house.connected, wall=lambda: 5000.0)
        accounts = Accounts(lambda: self.house.book.snapshot, scanned=self.scans.agents)
        self.live = LiveStreams(self.house.clock, accounts)
        self.router = Router(
            self.house.clock, accounts, self.house.connected, self.scans, self.live, self.house.refusals
        )
        self.told: list[tuple[int, Opened]] = []

    def open(self, port: int = 80, agent: str | None = None, **fields: Any) -> "Deferred[Opened]":
        opening = self.router.open("target.example", port, Access("127.0.0.1:5000", agent, **fields))
        opening.addCallbacks(lambda opened: self.told.append((port, opened)), lambda failure: None)
        return opening

    def outcomes(self) -> list[tuple[int, Reply]]:
        return [(port, opened.reply) for port, opened in self.told]


def request(stream: HalfCloseable) -> ConnectRequest:
    head = HeadReader().receive_data(stream.data)
    assert head is not None
    message, rest = head
    assert isinstance(message, ConnectRequest)
    assert rest == b""
    return message


def reply(stream: HalfCloseable, code: int = 0, rest: bytes = b"") -> None:
    stream.transport.write(encode(ConnectReply(reply=code, host="192.0.2.9", port=40000, detail="why")) + rest)


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def visitor(office: Office) -> Visitor:
    return office.house.come()


def test_the_request_reaches_the_agent_and_the_reply_the_client(office: Office, visitor: Visitor) -> None:
    office.open(443)
    office.house.pump()
    asked = request(visitor.streams[0])
    assert (asked.host, asked.port, asked.timeout) == ("target.example", 443, limits.CONNECT_SECONDS)
    assert office.told == []
    reply(visitor.streams[0])
    office.house.pump()
    ((_, opened),) = office.told
    assert (opened.reply, opened.bound_host, opened.bound_port) == (Reply.SUCCEEDED, "192.0.2.9", 40000)
    assert opened.stream is not None


@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_bytes_behind_the_reply_reach_the_next_protocol(office: Office, visitor: Visitor, piece: int) -> None:
    after = HalfCloseable()

    def take(opened: Opened) -> None:
        assert opened.stream is not None
        opened.stream.protocol = after

    office.router.open("target.example", 80, Access("127.0.0.1:5000", "acme")).addCallback(take)
    office.house.pump()
    for at in range(0, 200, piece):
        head = encode(ConnectReply(reply=0, host="192.0.2.9", port=1, detail="")) + b"banner"
        visitor.streams[0].transport.write(head[at : at + piece])
        office.house.pump()
    visitor.streams[0].transport.loseConnection()
    office.house.pump()
    assert after.data == b"banner"
    assert after.ends == ["end"]


@pytest.mark.parametrize("code", [reply for reply in Reply if reply is not Reply.SUCCEEDED])
def test_a_failure_is_passed_on_with_its_reason(office: Office, visitor: Visitor, code: Reply) -> None:
    office.open()
    office.house.pump()
    reply(visitor.streams[0], code)
    visitor.streams[0].transport.loseConnection()
    office.house.pump()
    ((_, opened),) = office.told
    assert (opened.reply, opened.stream, opened.detail) == (code, None, "why")
    visit = office.house.connected.get("acme")
    assert visit is not None
    assert visit.open_streams == 0


@pytest.mark.parametrize("code", [9, 250, 255])
def test_a_code_that_socks_does_not_know_is_not_tested(office: Office, visitor: Visitor, code: int) -> None:
    """Row E4."""
    office.open()
    office.house.pump()
    reply(visitor.streams[0], code)
    office.house.pump()
    assert office.outcomes() == [(80, Reply.GENERAL_FAILURE)]


@pytest.mark.parametrize("nonsense", [encode(Running()), b"\xff\xff", b"\x00\x01\xc1"])
def test_nonsense_instead_of_a_reply_resets_the_stream_only(office: Office, visitor: Visitor, nonsense: bytes) -> None:
    office.open()
    office.house.pump()
    visitor.streams[0].transport.write(nonsense + b"more")
    office.house.pump()
    assert office.outcomes() == [(80, Reply.GENERAL_FAILURE)]
    assert visitor.streams[0].lost is not None
    assert visitor.lost_why is None


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_stream_that_ends_without_a_reply_is_not_tested(office: Office, visitor: Visitor, how: str) -> None:
    """The Agent serves on and has chosen to say nothing, so it is not asked again."""
    office.open()
    office.house.pump()
    if how == "end":
        visitor.streams[0].transport.loseConnection()
    else:
        visitor.streams[0].transport.abortConnection()
    office.house.pump()
    ((_, opened),) = office.told
    assert (opened.reply, opened.detail) == (Reply.GENERAL_FAILURE, "the agent was lost during the dial")
    back = office.house.come()
    assert back.streams == []


class TestLostDuringTheDial:
    """The carrier goes before the reply: no byte of the Client's has left, so the Agent is asked again."""

    def lose(self, office: Office, visitor: Visitor) -> None:
        visitor.carrier.abort("cable out")
        office.house.pump()

    def test_the_agent_is_asked_again_when_it_is_back(self, office: Office, visitor: Visitor) -> None:
        office.open()
        office.house.pump()
        visitor.streams[0].transport.write(encode(ConnectReply(0, "192.0.2.9", 1, ""))[:5])  # cut in the middle
        office.house.pump()
        self.lose(office, visitor)
        assert office.told == []
        office.house.pass_time(5, step=1)
        back = office.house.come()
        assert request(back.streams[0]).port == 80
        reply(back.streams[0], rest=b"banner")
        office.house.pump()
        ((_, opened),) = office.told
        assert (opened.reply, opened.early) == (Reply.SUCCEEDED, len(b"banner"))

    def test_the_hold_bounds_the_wait(self, office: Office, visitor: Visitor) -> None:
        office.open()
        office.house.pump()
        self.lose(office, visitor)
        office.house.pass_time(limits.HOLD_SECONDS - 1, step=1)
        assert office.told == []
        office.house.pass_time(2, step=1)
        assert office.outcomes() == [(80, Reply.GENERAL_FAILURE)]

    def test_not_for_ever(self, office: Office, visitor: Visitor) -> None:
        """A dial that ends its Agent each time must not do so all night."""
        office.open()
        for _ in range(limits.LOST_DIALS + 1):
            office.house.pump()
            self.lose(office, visitor)
            visitor = office.house.come()
        assert visitor.streams == []
        ((_, opened),) = office.told
        why = f"agent acme was lost during the dial, {limits.LOST_DIALS + 1} times"
        assert (opened.reply, opened.detail) == (Reply.GENERAL_FAILURE, why)

    def test_its_client_may_go_meanwhile(self, office: Office, visitor: Visitor) -> None:
        opening = office.open()
        office.house.pump()
        self.lose(office, visitor)
        opening.cancel()
        assert office.house.come().streams == []
        assert office.told == []


def test_cancelling_resets_the_stream_and_so_the_dial(office: Office, visitor: Visitor) -> None:
    opening = office.open()
    office.house.pump()
    opening.cancel()
    office.house.pump()
    assert visitor.streams[0].lost is not None
    assert office.told == []
    assert visitor.lost_why is None


class TestQueue:
    """At most 256 un-ACKed: the others wait in order."""

    def fill(self, office: Office, visitor: Visitor, more: int) -> list["Deferred[Opened]"]:
        """256 openings that the Agent has not acknowledged, and ``more`` that wait."""
        visitor.end.stalled = visitor.proxy_end.stalled = True
        # the control stream is acknowledged
        return [office.open(port) for port in range(1, limits.UNACKNOWLEDGED_STREAMS + more + 1)]

    def test_in_order_once_there_is_room(self, office: Office, visitor: Visitor) -> None:
        self.fill(office, visitor, 50)
        office.house.pump()
        assert len(office.house.connected.get("acme").carrier._queue) == 50  # type: ignore[union-attr]
        visitor.end.stalled = visitor.proxy_end.stalled = False
        office.house.pump()
        assert [request(stream).port for stream in visitor.streams] == list(range(1, 307))
        for stream in visitor.streams:
            reply(stream)
        office.house.pump()
        assert office.outcomes() == [(port, Reply.SUCCEEDED) for port in range(1, 307)]

    def test_one_that_is_cancelled_while_it_waits_never_leaves(self, office: Office, visitor: Visitor) -> None:
        openings = self.fill(office, visitor, 3)
        openings[-2].cancel()
        visitor.end.stalled = visitor.proxy_end.stalled = False
        office.house.pump()
        asked = [request(stream).port for stream in visitor.streams]
        assert limits.UNACKNOWLEDGED_STREAMS + 2 not in asked
        assert len(asked) == limits.UNACKNOWLEDGED_STREAMS + 2

    def test_the_carrier_is_lost_while_they_wait(self, office: Office, visitor: Visitor) -> None:
        """All wait for the agent to come back, and each is asked once then."""
        self.fill(office, visitor, 10)
        office.house.pump()
        visitor.proxy_end.protocol.abort("test")
        office.house.pump()
        assert office.outcomes() == []
        back = office.house.come(program="first")
        office.house.pump()
        ports = list(range(1, 267))
        assert sorted(request(stream).port for stream in back.streams) == ports
        for stream in back.streams:
            reply(stream)
        office.house.pump()
        assert sorted(office.outcomes()) == [(port, Reply.SUCCEEDED) for port in ports]

    def test_they_wait_for_an_answer_no_longer_than_others(self, office: Office, visitor: Visitor) -> None:
        self.fill(office, visitor, 1)
        limit = limits.DIAL_WAIT_SECONDS + limits.CONNECT_SECONDS + limits.ANSWER_MARGIN_SECONDS
        office.house.liveness.forget(visitor.proxy_end.protocol)
        office.house.pass_time(limit - 1, step=1)
        assert office.told == []
        office.house.pass_time(1.5, step=0.5)
        assert len(office.told) == limits.UNACKNOWLEDGED_STREAMS + 1


class TestHold:
    def scanned_and_away(self, office: Office) -> None:
        visitor = office.house.come()
        office.open(1)
        office.house.pump()
        reply(visitor.streams[0])
        office.house.pump()
        visitor.carrier.abort("test")
        office.house.pump()
        office.told.clear()

    def test_opens_wait_for_an_agent_with_a_running_scan(self, office: Office) -> None:
        self.scanned_and_away(office)
        office.open(2)
        office.house.pass_time(limits.HOLD_SECONDS - 1, step=1)
        assert office.told == []
        back = office.house.come()
        assert request(back.streams[0]).port == 2
        assert [message for message in back.received if isinstance(message, ScanStarted)] != []
        reply(back.streams[0])
        office.house.pump()
        assert office.outcomes() == [(2, Reply.SUCCEEDED)]

    def test_not_longer_than_the_hold(self, office: Office) -> None:
        self.scanned_and_away(office)
        office.open(2)
        office.house.pass_time(limits.HOLD_SECONDS + 0.5, step=0.5)
        assert office.outcomes() == [(2, Reply.GENERAL_FAILURE)]
        assert office.house.come().streams == []

    def test_a_carrier_that_is_ending_counts_as_away(self, office: Office) -> None:
        visitor = office.house.come()
        office.open(1)
        office.house.pump()
        visitor.end.stalled = visitor.proxy_end.stalled = True
        visitor.proxy_end.protocol.end("test")
        office.open(2)
        office.house.pass_time(limits.SESSION_CLOSE_SECONDS + 1)
        assert office.told == []
        back = office.house.come(program="first")
        assert sorted(request(stream).port for stream in back.streams) == [1, 2]

    def test_never_at_another_agent(self, office: Office) -> None:
        """Of two registered agents one drops and the other is connected: not one dial there."""
        self.scanned_and_away(office)
        office.house.book.register("other", digest(1))
        other = office.house.come(1, "other")
        for port in range(2, 20):
            office.open(port, agent="acme" if port % 2 else None)
        office.house.pass_time(limits.HOLD_SECONDS + 1, step=1)
        assert other.streams == []
        assert all(code is Reply.GENERAL_FAILURE for _, code in office.outcomes())
        assert len(office.told) == 18

    def test_a_cancelled_one_is_not_started(self, office: Office) -> None:
        self.scanned_and_away(office)
        opening = office.open(2)
        opening.cancel()
        assert office.house.come().streams == []
        calls = office.house.clock.getDelayedCalls()
        assert all(call.getTime() - office.house.clock.seconds() != limits.HOLD_SECONDS for call in calls)


def test_revoke_answers_what_is_under_way(office: Office, visitor: Visitor) -> None:
    office.open()
    office.house.pump()
    office.house.book.revoke("acme")
    assert office.outcomes() == [(80, Reply.GENERAL_FAILURE)]
    office.open(81, agent="acme")
    assert office.outcomes()[1:] == [(81, Reply.GENERAL_FAILURE)]


class TestRights:
    """A client's account on the way, with real streams."""

    @pytest.fixture
    def alice(self, office: Office, visitor: Visitor) -> dict[str, Any]:
        self.enrol(office, "acme")
        return {"agent": "acme", "client": "alice", "token": token("alice-token")}

    def enrol(self, office: Office, *agents: str) -> None:
        book = office.house.book
        book.publish(replace(book.snapshot, clients={"alice": client("alice", *agents)}))

    def test_a_live_stream_is_reset_when_they_are_gone(
        self, office: Office, visitor: Visitor, alice: dict[str, Any]
    ) -> None:
        office.open(1, **alice)
        office.open(2, "acme")
        office.house.pump()
        for stream in visitor.streams:
            reply(stream)
        office.house.pump()
        for _, opened in office.told:
            assert opened.stream is not None
            opened.stream.protocol = HalfCloseable()
        self.enrol(office)
        office.live.look()
        office.house.pump()
        assert visitor.streams[0].lost is not None
        assert visitor.streams[1].lost is None
        assert len(office.live) == 1

    def test_streams_that_end_are_forgotten(self, office: Office, visitor: Visitor, alice: dict[str, Any]) -> None:
        openings = [office.open(port, **alice) for port in (1, 2)]
        office.house.pump()
        assert len(office.live) == 2
        reply(visitor.streams[0], Reply.REFUSED)
        visitor.streams[0].transport.loseConnection()
        openings[1].cancel()
        office.house.pump()
        assert len(office.live) == 0

    def test_a_stream_that_the_registry_takes_during_its_dial(
        self, office: Office, visitor: Visitor, alice: dict[str, Any]
    ) -> None:
        office.open(1, **alice)
        office.house.pump()
        self.enrol(office)
        office.live.look()
        office.house.pump()
        assert [(opened.reply, opened.detail) for _, opened in office.told] == [
            (Reply.GENERAL_FAILURE, "the Proxy ended it during the dial")
        ]
        assert visitor.streams[0].lost is not None


def test_j2_users_take_turns_where_streams_are_short(office: Office, visitor: Visitor) -> None:
    """One has 300 opens more than the Agent acknowledges; another's two wait for two of them, not for all."""
    visitor.end.stalled = visitor.proxy_end.stalled = True
    for port in range(1, limits.UNACKNOWLEDGED_STREAMS + 301):
        office.open(port, "acme")
    others = [office.router.open("target.example", port, Access("192.0.2.1:9", "acme")) for port in (7001, 7002)]
    visitor.end.stalled = visitor.proxy_end.stalled = False
    office.house.pump()
    asked = [request(stream).port for stream in visitor.streams]
    assert len(asked) == limits.UNACKNOWLEDGED_STREAMS + 302
    waited = asked[limits.UNACKNOWLEDGED_STREAMS :]
    assert [waited.index(port) for port in (7001, 7002)] == [1, 3]
    assert all(not other.called for other in others)
