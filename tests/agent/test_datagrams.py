"""Datagrams at the Agent: judged one by one, bounded in every direction, and failures told."""

import errno

import pytest
from twisted.internet.defer import Deferred, succeed

from socksfusion import limits
from socksfusion.agent.policy import Policy
from socksfusion.wire.datagrams import Datagram, DatagramReader, Kind, Record, encode_record
from socksfusion.wire.messages import encode
from socksfusion.wire.requests import AssociateReply, AssociateRequest
from socksfusion.wire.socks5 import Reply
from tests.agent.fake_agent import Agent, lose
from tests.agent.fake_stream import FakeStream

DNS = "192.0.2.53"


class Association:
    """An association at an Agent, as its Proxy sees it."""

    def __init__(self, agent: Agent | None = None, request: AssociateRequest | None = None) -> None:
        self.agent = agent or Agent()
        self.stream: FakeStream = self.agent.stream()
        self._reader = DatagramReader()
        self._read = 0
        self.stream.protocol.dataReceived(encode(request or AssociateRequest()))
        reply, rest = self.stream.head()
        assert reply == AssociateReply(reply=0, detail="")
        assert rest == b""
        self._read = len(self.stream.sent())

    def send(self, payload: bytes, host: str = DNS, port: int = 53) -> None:
        self.stream.protocol.dataReceived(encode_record(Kind.DATAGRAM, Datagram(host, port, payload)))

    def records(self) -> list[Record]:
        """What the Agent has written since the last call."""
        news = self.stream.sent()[self._read :]
        self._read += len(news)
        return self._reader.receive_data(news)

    def received(self) -> list[Datagram]:
        records = self.records()
        assert {record.kind for record in records} <= {Kind.DATAGRAM}
        return [record.datagram for record in records]

    def failures(self) -> list[tuple[str, int, int]]:
        """Host, port and reply of what was not delivered."""
        records = self.records()
        assert {record.kind for record in records} <= {Kind.UNDELIVERED}
        return [(record.datagram.host, record.datagram.port, record.datagram.payload[0]) for record in records]


def test_a_datagram_goes_to_its_target_and_the_answer_comes_back() -> None:
    association = Association()
    association.send(b"question")
    (socket,) = association.agent.udp.sockets
    assert socket.address == (DNS, 53)
    assert socket.sent == [b"question"]
    socket.answer(b"answer")
    assert association.received() == [Datagram(DNS, 53, b"answer")]


def test_what_came_behind_the_request_is_not_lost() -> None:
    agent = Agent()
    stream = agent.stream()
    record = encode_record(Kind.DATAGRAM, Datagram(DNS, 53, b"early"))
    stream.protocol.dataReceived(encode(AssociateRequest()) + record)
    assert agent.udp.sockets[0].sent == [b"early"]


def test_a_target_keeps_its_socket_and_others_have_their_own() -> None:
    association = Association()
    for payload, host, port in [(b"1", DNS, 53), (b"2", "2001:db8::53", 53), (b"3", DNS, 53), (b"4", DNS, 161)]:
        association.send(payload, host, port)
    sockets = association.agent.udp.sockets
    sent = [(socket.address, socket.sent) for socket in sockets]
    assert sent == [((DNS, 53), [b"1", b"3"]), (("2001:db8::53", 53), [b"2"]), ((DNS, 161), [b"4"])]
    assert [socket.source for socket in sockets] == [None, "2001:db8::9", None], "where --source says"


def test_nothing_is_sent_while_the_machine_has_not_got_the_source() -> None:
    association = Association()
    association.agent.has_source = False
    association.send(b"1", "2001:db8::53")
    assert not association.agent.udp.sockets
    assert association.failures() == [("2001:db8::53", 53, Reply.GENERAL_FAILURE)]
    assert association.agent.refusals.counts["source"] == 1
    association.agent.has_source = True
    association.send(b"2", "2001:db8::53")
    assert [socket.sent for socket in association.agent.udp.sockets] == [[b"2"]]


def test_wish_5_a_refused_port_is_told() -> None:
    association = Association()
    association.send(b"anybody?", port=161)
    association.agent.udp.sockets[0].fail(errno.ECONNREFUSED)
    (record,) = association.records()
    assert record.kind is Kind.UNDELIVERED
    assert (record.datagram.host, record.datagram.port) == (DNS, 161)
    assert record.datagram.payload == bytes([Reply.REFUSED]) + b"Connection refused (errno=ECONNREFUSED)"
    association.send(b"again", port=161)
    assert [socket.sent for socket in association.agent.udp.open] == [[b"again"]], "a port may open later"


def test_a_refusal_that_the_next_send_brings_is_told_too() -> None:
    association = Association()
    association.send(b"1")
    association.agent.udp.sockets[0].refuses = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    association.send(b"2")
    assert association.failures() == [(DNS, 53, Reply.REFUSED)]
    assert not association.agent.udp.open


def test_a_network_without_a_way_is_told() -> None:
    association = Association()
    association.agent.udp.unreachable[DNS] = errno.ENETUNREACH
    association.send(b"1")
    assert association.failures() == [(DNS, 53, Reply.NETWORK_UNREACHABLE)]


def test_what_the_system_can_not_take_now_is_dropped_and_counted() -> None:
    association = Association()
    association.send(b"1")
    (socket,) = association.agent.udp.sockets
    socket.refuses = BlockingIOError(errno.EAGAIN, "full")
    association.send(b"2")
    socket.refuses = None
    association.send(b"3")
    assert socket.sent == [b"1", b"3"]
    assert association.agent.refusals.counts["udp-busy"] == 1
    assert association.records() == []


# -- names -----------------------------------------------------------------------------------------------------------


def test_a_name_is_resolved_once_and_what_came_meanwhile_is_sent_in_order() -> None:
    association = Association()
    agent = association.agent
    agent.resolver.pending = answer = Deferred()
    association.send(b"1", "dns.test")
    association.send(b"2", "dns.test")
    assert not agent.udp.sockets
    answer.callback([DNS])
    association.send(b"3", "dns.test")
    (socket,) = agent.udp.sockets
    assert socket.address == (DNS, 53)
    assert socket.sent == [b"1", b"2", b"3"]
    assert agent.resolver.asked == [("dns.test", limits.RESOLVER_SECONDS)]
    socket.answer(b"found")
    assert association.received() == [Datagram(DNS, 53, b"found")]


def test_a_name_that_is_not_found_is_told() -> None:
    association = Association()
    association.send(b"1", "nowhere.test")
    assert association.failures() == [("nowhere.test", 53, Reply.HOST_UNREACHABLE)]


def test_wish_10_a_refused_address_of_a_name_is_followed_by_the_next() -> None:
    association = Association()
    udp = association.agent.udp
    association.agent.resolver.answers["dns.test"] = ["2001:db8::53", "2001:db8::54", DNS]
    udp.unreachable["2001:db8::54"] = errno.ENETUNREACH
    association.send(b"1", "dns.test")
    association.send(b"2", "dns.test")
    udp.sockets[0].fail(errno.ECONNREFUSED)
    assert [(socket.address[0], socket.sent) for socket in udp.sockets] == [
        ("2001:db8::53", [b"1", b"2"]),
        (DNS, [b"2"]),
    ]
    udp.sockets[1].answer(b"here")
    assert association.received() == [Datagram(DNS, 53, b"here")]
    udp.sockets[1].fail(errno.ECONNREFUSED)
    assert association.failures() == [("dns.test", 53, Reply.REFUSED)], "one that has answered is the one"


def test_a_name_whose_every_address_fails_is_told_once() -> None:
    association = Association()
    association.agent.resolver.answers["dns.test"] = ["2001:db8::53", DNS]
    association.send(b"1", "dns.test")
    for _ in range(2):
        association.agent.udp.open[0].fail(errno.ECONNREFUSED)
    assert association.failures() == [("dns.test", 53, Reply.REFUSED)]


def test_d4_what_waits_for_names_is_bounded_and_new_ones_are_dropped() -> None:
    association = Association()
    agent = association.agent
    agent.resolver.pending = answer = Deferred()
    payload = bytes(32 * 1024)
    for _ in range(limits.ASSOCIATION_QUEUE_BYTES // len(payload)):
        association.send(payload, "slow.test")
    association.send(b"too much", "slow.test")
    assert agent.refusals.counts["udp-queue"] == 1
    answer.callback([DNS])
    assert b"too much" not in agent.udp.sockets[0].sent
    agent.resolver.pending = Deferred()
    association.send(payload, "other.test")
    assert agent.refusals.counts["udp-queue"] == 1, "what was sent waits no more"


def test_a_name_that_never_answers_gathers_nothing() -> None:
    association = Association()
    agent = association.agent
    agent.resolver.answers["log.test"] = [DNS, "192.0.2.54"]
    payload = bytes(32 * 1024)
    for _ in range(100):
        association.send(payload, "log.test")
    agent.resolver.pending = Deferred()
    for _ in range(limits.ASSOCIATION_QUEUE_BYTES // len(payload) - 1):
        association.send(payload, "slow.test")
    assert agent.refusals.counts["udp-queue"] == 0


# -- the policy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1", "224.0.0.251", "255.255.255.255", "169.254.169.254"])
def test_d4_c4_guarded_addresses_get_no_datagram(host: str) -> None:
    association = Association()
    association.send(b"1", host)
    assert not association.agent.udp.sockets
    ((_, port, reply),) = association.failures()
    assert (port, reply) == (53, Reply.NOT_ALLOWED)


def test_c5_a_name_reaches_only_its_allowed_addresses() -> None:
    association = Association()
    association.agent.resolver.answers["rebound.test"] = ["127.0.0.1", DNS]
    association.send(b"1", "rebound.test")
    assert [socket.address[0] for socket in association.agent.udp.sockets] == [DNS]


def test_an_address_in_ipv6_clothes_is_the_address_that_it_means() -> None:
    association = Association()
    association.send(b"1", f"::ffff:{DNS}")
    assert association.agent.udp.sockets[0].address == (DNS, 53)


def test_the_request_narrows_each_datagram() -> None:
    association = Association(request=AssociateRequest(allow=("192.0.2.0/26",)))
    association.send(b"in", DNS)
    association.send(b"out", "192.0.2.99")
    assert [socket.address[0] for socket in association.agent.udp.sockets] == [DNS]
    assert association.failures() == [("192.0.2.99", 53, Reply.NOT_ALLOWED)]


def test_f1_the_policy_is_asked_for_each_datagram() -> None:
    owned: set[str] = set()
    association = Association(Agent(policy=Policy(owns=lambda address: str(address) in owned)))
    association.send(b"1")
    owned.add(DNS)
    association.send(b"2")
    (socket,) = association.agent.udp.sockets
    assert socket.sent == [b"1"]
    assert socket.closed
    assert association.failures() == [(DNS, 53, Reply.NOT_ALLOWED)]


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_d4_an_association_has_64_targets_and_a_silent_one_makes_room() -> None:
    association = Association()
    agent = association.agent
    for number in range(limits.ASSOCIATION_TARGETS):
        association.send(b"1", port=1000 + number)
    association.send(b"1", port=2000)
    assert association.failures() == [(DNS, 2000, Reply.GENERAL_FAILURE)], "not tested, and said so"
    agent.reactor.advance(limits.TARGET_SILENT_SECONDS / 2)
    association.send(b"2", port=1000)
    agent.reactor.advance(limits.TARGET_SILENT_SECONDS / 2)
    association.send(b"1", port=2000)
    assert len(agent.udp.open) == limits.ASSOCIATION_TARGETS
    assert agent.udp.sockets[1].closed, "the one silent for longest"
    assert agent.udp.sockets[-1].address == (DNS, 2000)


def test_a_silent_target_is_closed() -> None:
    association = Association()
    agent = association.agent
    association.send(b"1", port=1000)
    association.send(b"1", port=1001)
    agent.reactor.advance(limits.TARGET_IDLE_SECONDS / 2)
    agent.udp.sockets[1].answer(b"1")
    agent.reactor.advance(limits.TARGET_IDLE_SECONDS / 2)
    assert [socket.closed for socket in agent.udp.sockets] == [True, False]
    agent.reactor.advance(limits.TARGET_IDLE_SECONDS / 2)
    assert not agent.udp.open
    assert not agent.reactor.getDelayedCalls()
    association.send(b"2", port=1000)
    assert len(agent.udp.open) == 1


def test_d4_answers_above_the_rate_are_dropped_and_counted() -> None:
    association = Association()
    agent = association.agent
    association.send(b"1")
    for _ in range(limits.ASSOCIATION_DATAGRAMS_PER_SECOND + 7):
        agent.udp.sockets[0].answer(b"x")
    assert len(association.received()) == limits.ASSOCIATION_DATAGRAMS_PER_SECOND
    assert agent.refusals.counts["udp-rate"] == 7
    agent.reactor.advance(1)
    agent.udp.sockets[0].answer(b"later")
    assert len(association.received()) == 1


def test_d4_what_waits_counts_for_all_of_the_agent_until_its_association_is_gone() -> None:
    association = Association(Agent(bytes_per_second=RATE))
    agent, room = association.agent, association.stream.protocol._shared.room
    agent.resolver.pending = answer = Deferred()
    association.send(bytes(RATE), "slow.test")
    assert room.bytes == RATE
    association.send(b"waits for the bandwidth", "slow.test")
    assert room.bytes == RATE + 23
    answer.callback([DNS])
    agent.reactor.advance(10)
    assert room.bytes == 0
    agent.udp.sockets[0].answer(bytes(500))
    assert room.bytes > 500, "the carrier has not taken it"
    agent.resolver.pending = Deferred()
    association.send(bytes(1000), "other.test")
    lose(association.stream)
    assert room.bytes == 0


def test_d4_above_what_all_may_hold_new_ones_are_dropped_and_counted() -> None:
    association = Association()
    agent = association.agent
    association.send(b"1")
    association.stream.protocol._shared.room._most = 10
    agent.udp.sockets[0].answer(bytes(10))
    assert association.received() == []
    agent.resolver.pending = Deferred()
    association.send(bytes(11), "slow.test")
    assert agent.refusals.counts["udp-queue"] == 2


def test_d4_a_slow_carrier_drops_new_answers_and_grows_nothing() -> None:
    association = Association()
    association.send(b"1")
    association.stream.queued = limits.ASSOCIATION_QUEUE_BYTES - 10
    association.agent.udp.sockets[0].answer(b"too long for what is left")
    assert association.received() == []
    assert association.agent.refusals.counts["udp-queue"] == 1
    association.stream.queued = 0
    association.agent.udp.sockets[0].answer(b"fits")
    assert len(association.received()) == 1


def test_an_answer_that_fits_into_no_record_is_dropped_and_counted() -> None:
    association = Association()
    association.send(b"1")
    association.agent.udp.sockets[0].answer(bytes(65_535))
    assert association.records() == []
    assert association.agent.refusals.counts["udp-length"] == 1


def test_files_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    association = Association()
    monkeypatch.setattr(association.agent.factory.associations.headroom, "refusal", lambda: "9 files are open")
    association.send(b"1")
    assert association.failures() == [(DNS, 53, Reply.GENERAL_FAILURE)]
    assert association.agent.refusals.counts["descriptors"] == 1


# -- what the admin allows the Agent in all --------------------------------------------------------------------------


def test_an_association_counts_as_one_of_the_streams_and_waits_for_its_turn() -> None:
    agent = Agent(streams=1)
    first = Association(agent)
    stream = agent.stream()
    record = encode_record(Kind.DATAGRAM, Datagram(DNS, 53, b"early"))
    stream.protocol.dataReceived(encode(AssociateRequest()) + record)
    assert stream.sent() == b""
    assert (agent.turns.open, agent.turns.taken, agent.turns.queued) == (1, 0, 1)
    lose(first.stream)
    assert stream.head() == (AssociateReply(reply=0, detail=""), b"")
    assert agent.udp.sockets[0].sent == [b"early"]
    lose(stream)
    assert agent.turns.open == 0


def test_an_association_and_a_dial_wait_for_each_other() -> None:
    agent = Agent(streams=1)
    dialled = agent.ask()
    stream = agent.stream()
    stream.protocol.dataReceived(encode(AssociateRequest()))
    assert stream.sent() == b""
    lose(dialled)
    assert stream.head()[0] == AssociateReply(reply=0, detail="")


def test_an_association_whose_turn_does_not_come_is_not_tested() -> None:
    agent = Agent(streams=1)
    Association(agent)
    stream = agent.stream()
    stream.protocol.dataReceived(encode(AssociateRequest()))
    agent.reactor.advance(limits.DIAL_WAIT_SECONDS)
    assert stream.head()[0] == AssociateReply(reply=1, detail="waited 30 s for this Agent's limits")
    assert stream.disconnecting
    assert agent.refusals.counts["limits"] == 1


def test_an_association_whose_client_leaves_while_it_waits_leaves_the_queue() -> None:
    agent = Agent(streams=1)
    Association(agent)
    stream = agent.stream()
    stream.protocol.dataReceived(encode(AssociateRequest()))
    lose(stream)
    assert agent.turns.queued == 0


def test_users_take_turns_for_associations_too() -> None:
    agent = Agent(streams=1)
    first = Association(agent)
    streams = []
    for client in ("greedy", "greedy", "modest"):
        streams.append(agent.stream())
        streams[-1].protocol.dataReceived(encode(AssociateRequest(client=client)))
    lose(first.stream)
    lose(streams[0])
    assert [bool(stream.sent()) for stream in streams] == [True, False, True]


RATE = 10_000
"""Bytes a second: a burst of 1,000, and 5,000 that may wait."""


def test_datagrams_above_the_bandwidth_wait_shortly_and_more_are_dropped_and_counted() -> None:
    association = Association(Agent(bytes_per_second=RATE))
    agent = association.agent
    for number in range(20):
        association.send(bytes([number]) * 1000)
    (socket,) = agent.udp.sockets
    assert len(socket.sent) == 1
    assert agent.refusals.counts["udp-bandwidth"] == 14
    for _ in range(200):
        agent.reactor.advance(0.01)
    assert [payload[0] for payload in socket.sent] == [0, 1, 2, 3, 4, 5]
    assert not [call for call in agent.reactor.getDelayedCalls() if call.getTime() < limits.TARGET_IDLE_SECONDS]


def test_answers_count_in_the_bandwidth_of_the_other_direction() -> None:
    association = Association(Agent(bytes_per_second=RATE))
    agent = association.agent
    association.send(b"1")
    for number in range(20):
        agent.udp.sockets[0].answer(bytes([number]) * 1000)
    assert len(association.received()) == 1
    agent.reactor.advance(0.5)
    assert agent.refusals.counts["udp-bandwidth"] == 14
    agent.reactor.advance(0.5)
    assert [datagram.payload[0] for datagram in association.received()] == [1, 2, 3, 4, 5]


def test_the_end_forgets_what_waits_for_the_bandwidth() -> None:
    association = Association(Agent(bytes_per_second=RATE))
    agent = association.agent
    for _ in range(3):
        association.send(bytes(1000))
    agent.udp.sockets[0].answer(bytes(2000))
    agent.udp.sockets[0].answer(bytes(2000))
    sent = len(association.records())
    lose(association.stream)
    agent.reactor.advance(10)
    assert len(agent.udp.sockets[0].sent) == 1
    assert (sent, association.records()) == (1, [])
    assert not agent.reactor.getDelayedCalls()


# -- ends ------------------------------------------------------------------------------------------------------------


def test_the_end_of_the_stream_closes_every_socket_and_timer_and_look_up() -> None:
    association = Association()
    agent = association.agent
    association.send(b"1")
    cancelled: list[None] = []
    agent.resolver.pending = Deferred(lambda _: cancelled.append(None))
    association.send(b"1", "slow.test")
    lose(association.stream)
    assert not agent.udp.open
    assert cancelled
    assert not agent.reactor.getDelayedCalls()
    assert association.records() == []


def test_the_clients_end_ends_the_stream() -> None:
    association = Association()
    association.stream.protocol.readConnectionLost()
    assert association.stream.disconnecting


def test_records_of_an_unreadable_stream_abort_it() -> None:
    association = Association()
    association.stream.protocol.dataReceived(b"\0\0")
    assert association.stream.aborted
    assert association.agent.refusals.counts["stream datagrams"] == 1


def test_j3_a_stray_exception_of_a_look_up_concerns_its_target_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    association = Association()
    monkeypatch.setattr(association.agent.resolver, "resolve", lambda name, seconds: succeed(None))
    association.send(b"1", "odd.test")
    assert association.failures() == [("odd.test", 53, Reply.GENERAL_FAILURE)]
    association.send(b"2")
    assert len(association.agent.udp.open) == 1
