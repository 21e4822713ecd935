"""UDP ASSOCIATE at the Proxy: whose datagrams go where, what is dropped, and what ends an association."""

import errno
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.proxy.access import Access
from socksfusion.proxy.associations import Associations
from socksfusion.proxy.opening import Associated
from socksfusion.refusals import Refusals
from socksfusion.tunnel.datagram_room import DatagramRoom
from socksfusion.tunnel.udp import DatagramReceiver
from socksfusion.wire.datagrams import Datagram, DatagramReader, Kind, encode_datagram, encode_record
from socksfusion.wire.socks5 import Address, AddressKind, Reply
from tests.tunnel.pair import logged_failures

CLIENT = "192.0.2.9"
HERE = "192.0.2.1"
SENDER = (CLIENT, 5353)
QUESTION = Datagram("198.51.100.53", 53, b"question")
ANSWER = Datagram("198.51.100.53", 53, b"answer")
NOWHERE = Address("0.0.0.0", 0, AddressKind.IPV4)


class Stream(StringTransport):
    protocol: Any = None
    aborted = False
    queued = 0

    def abortConnection(self) -> None:
        self.aborted = True

    def datagrams(self) -> list[Datagram]:
        """What was written, all of it datagrams."""
        records = DatagramReader().receive_data(self.value())  # type: ignore[no-untyped-call]
        assert {record.kind for record in records} <= {Kind.DATAGRAM}
        return [record.datagram for record in records]


class Relay:
    """The relay's socket."""

    def __init__(self, host: str, receiver: DatagramReceiver) -> None:
        self.host, self.port = host, 40_000
        self.receiver = receiver
        self.sent: list[tuple[bytes, str, int]] = []
        self.refuses: OSError | None = None
        self.closed = False

    def send_to(self, payload: bytes, host: str, port: int) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.sent.append((payload, host, port))

    def close(self) -> None:
        self.closed = True


class Client:
    """The protocol of a Client's TCP connection."""

    def __init__(self, here: Any, there: Any) -> None:
        self.transport = StringTransport(hostAddress=here, peerAddress=there)  # type: ignore[no-untyped-call]
        self.answers: list[tuple[Reply, str, int]] = []
        self.closed = False

    def answer(self, code: Reply, host: str = "", port: int = 0) -> None:
        self.answers.append((code, host, port))

    def close(self) -> None:
        self.closed = True


class Record:
    """A scan's record."""

    def __init__(self) -> None:
        self.results: list[tuple[str, int, Reply]] = []
        self.streams: list[Any] = []

    def associated(self, stream: Any) -> None:
        self.streams.append(stream)

    def result(self, access: Access, host: str, port: int, reply: Reply, detail: str) -> None:
        self.results.append((host, port, reply))


class World:
    """One Client that asks for an association, and all that is around it."""

    def __init__(
        self,
        announced: Address = NOWHERE,
        *,
        here: Any = None,
        there: Any = None,
        answer: Associated | None = None,
    ) -> None:
        self.clock = Clock()
        self.refusals = Refusals(self.clock.seconds)
        self.relays: list[Relay] = []
        self.no_port: OSError | None = None
        self.cancelled = 0
        self.asked: list[Access] = []
        self.dial: Deferred[Associated] = Deferred(self._cancel)
        self.stream = Stream()
        self.record: Any = Record()
        self.client = Client(here or IPv4Address("TCP", HERE, 1080), there or IPv4Address("TCP", CLIENT, 4000))
        self.associations = Associations(self.clock, self, self.refusals, self._bind)
        self.access = Access(peer=f"{CLIENT}:4000")
        self.announced = announced
        self.association: Any = None
        if answer is not None:
            self.dial.callback(answer)

    def associate(self, access: Access) -> "Deferred[Associated]":
        self.asked.append(access)
        return self.dial

    def _cancel(self, _: Any) -> None:
        self.cancelled += 1

    def _bind(self, reactor: Any, host: str, receiver: DatagramReceiver) -> Any:
        if self.no_port is not None:
            raise self.no_port
        self.relays.append(Relay(host, receiver))
        return self.relays[-1]

    def ask(self) -> "World":
        self.association = self.associations.begin(self.client, self.access, self.announced)
        return self

    def begin(self) -> "World":
        self.ask()
        self.dial.callback(Associated(Reply.SUCCEEDED, self.stream, record=self.record))  # type: ignore[arg-type]
        assert self.client.answers == [(Reply.SUCCEEDED, self.relay.host, self.relay.port)]
        return self

    @property
    def relay(self) -> Relay:
        return self.relays[0]

    def send(self, data: bytes | Datagram = QUESTION, source: tuple[str, int] = SENDER) -> None:
        """A datagram arrives at the relay."""
        data = encode_datagram(data) if isinstance(data, Datagram) else data
        self.relay.receiver.datagram_received(data, source)

    def receive(self, datagram: Datagram = ANSWER, kind: Kind = Kind.DATAGRAM) -> None:
        """A record of the Agent's arrives."""
        self.stream.protocol.dataReceived(encode_record(kind, datagram))

    def gone(self) -> bool:
        """Whether nothing is left of the association."""
        return self.relay.closed and self.stream.disconnecting and not self.clock.getDelayedCalls()


def test_a_clients_datagrams_go_to_the_agent_and_the_answers_come_back() -> None:
    world = World().begin()
    assert world.asked == [world.access]
    assert world.record.streams == [world.stream], "its bytes are the scan's, and it ends with the scan"
    world.send()
    assert world.stream.datagrams() == [QUESTION]
    world.receive()
    assert world.relay.sent == [(encode_datagram(ANSWER), *SENDER)]


def test_d2_the_relay_listens_at_the_address_that_the_client_came_to() -> None:
    assert World().begin().relay.host == HERE


@pytest.mark.parametrize(
    ("here", "there", "relay", "sender"),
    [
        (
            IPv6Address("TCP", "2001:db8::1", 1080),
            IPv6Address("TCP", "2001:db8::9", 4000),
            "2001:db8::1",
            "2001:db8::9",
        ),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1080), IPv6Address("TCP", "::ffff:192.0.2.9", 4000), HERE, CLIENT),
    ],
    ids=["ipv6", "both-families"],
)
def test_a_client_over_ipv6(here: Any, there: Any, relay: str, sender: str) -> None:
    world = World(here=here, there=there).begin()
    assert world.relay.host == relay
    world.send(source=(sender, 5353))
    assert world.stream.datagrams() == [QUESTION]


# -- whose datagrams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [("192.0.2.77", 5353), ("192.0.2.77", 5354), (CLIENT, 5354)])
def test_d1_a_datagram_of_another_source_goes_nowhere(source: tuple[str, int]) -> None:
    world = World().begin()
    world.send()
    world.send(source=source)
    world.send()
    assert len(world.stream.datagrams()) == 2
    assert world.refusals.counts["udp-source"] == 1
    world.receive()
    assert {sent[1:] for sent in world.relay.sent} == {SENDER}


def test_d1_the_port_that_was_announced_is_the_only_one() -> None:
    world = World(Address(CLIENT, 6000, AddressKind.IPV4)).begin()
    world.send()
    assert world.stream.datagrams() == []
    world.send(source=(CLIENT, 6000))
    assert world.stream.datagrams() == [QUESTION]


def test_d1_an_address_that_was_announced_opens_nothing() -> None:
    world = World(Address("192.0.2.77", 6000, AddressKind.IPV4)).begin()
    world.send(source=("192.0.2.77", 6000))
    assert world.stream.datagrams() == []
    assert world.refusals.counts["udp-source"] == 1


def test_d1_a_malformed_datagram_claims_no_port() -> None:
    world = World().begin()
    world.send(b"nonsense", source=(CLIENT, 7000))
    world.send()
    assert world.stream.datagrams() == [QUESTION]


def test_an_agents_datagram_before_the_clients_first_goes_nowhere() -> None:
    world = World().begin()
    world.receive()
    assert world.relay.sent == []
    assert world.refusals.counts["udp-unasked"] == 1


# -- what is dropped -------------------------------------------------------------------------------------------------

FRAGMENT = b"\0\0\1" + encode_datagram(QUESTION)[3:]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (FRAGMENT, "udp-fragment"),
        (b"\0\1" + encode_datagram(QUESTION)[2:], "udp-header"),
        (b"", "udp-header"),
        (b"\0\0\0\1\x7f", "udp-header"),
        (bytes(65_507), "udp-header"),
    ],
    ids=["fragment", "reserved", "empty", "short", "zeros"],
)
def test_d3_a_bad_datagram_is_dropped_and_counted_and_a_good_one_works_after_it(data: bytes, rule: str) -> None:
    world = World().begin()
    world.send(data)
    assert world.refusals.counts[rule] == 1
    world.send()
    assert world.stream.datagrams() == [QUESTION]
    assert world.association.counts["dropped"] == 1


@settings(max_examples=50)
@given(st.binary(max_size=64))
def test_d3_any_datagram_leaves_the_association_alive(data: bytes) -> None:
    world = World().begin()
    world.send(data)
    world.send()
    assert world.stream.datagrams()[-1] == QUESTION


def test_d4_datagrams_above_the_rate_are_dropped_and_counted() -> None:
    world = World().begin()
    for _ in range(limits.ASSOCIATION_DATAGRAMS_PER_SECOND + 5):
        world.send()
    assert len(world.stream.datagrams()) == limits.ASSOCIATION_DATAGRAMS_PER_SECOND
    assert world.refusals.counts["udp-rate"] == 5
    world.clock.advance(1)
    world.send()
    assert len(world.stream.datagrams()) == limits.ASSOCIATION_DATAGRAMS_PER_SECOND + 1


def test_d4_answers_above_the_rate_are_dropped_and_counted() -> None:
    world = World().begin()
    world.send()
    for _ in range(limits.ASSOCIATION_DATAGRAMS_PER_SECOND + 5):
        world.receive()
    assert len(world.relay.sent) == limits.ASSOCIATION_DATAGRAMS_PER_SECOND
    assert world.refusals.counts["udp-rate"] == 5


def test_d1_others_do_not_use_up_the_clients_rate() -> None:
    world = World().begin()
    for _ in range(2 * limits.ASSOCIATION_DATAGRAMS_PER_SECOND):
        world.send(source=("192.0.2.77", 1))
    world.send()
    assert world.stream.datagrams() == [QUESTION]


def test_d4_a_slow_carrier_drops_new_datagrams_and_grows_nothing() -> None:
    world = World().begin()
    world.stream.queued = limits.ASSOCIATION_QUEUE_BYTES - 10
    world.send()
    assert world.stream.datagrams() == []
    assert world.refusals.counts["udp-queue"] == 1
    world.stream.queued = 0
    world.send()
    assert world.stream.datagrams() == [QUESTION]


def test_d4_all_associations_share_one_bound_until_their_streams_are_gone() -> None:
    """What a Client left on the stream to a slow carrier counts after its end too."""
    left, other = World(), World()
    room = DatagramRoom(left.clock.seconds, len(encode_record(Kind.DATAGRAM, QUESTION)))
    for world in (left, other):
        world.associations._room = room
        world.begin()
    left.send()
    left.stream.queued = len(left.stream.value())
    left.association.client_lost()
    assert left.stream.disconnecting
    other.clock.advance(limits.DATAGRAM_RECOUNT_SECONDS)
    left.clock.advance(limits.DATAGRAM_RECOUNT_SECONDS)
    other.send()
    assert other.stream.datagrams() == []
    assert other.refusals.counts["udp-queue"] == 1
    left.stream.protocol.connectionLost(Failure(error.ConnectionDone()))
    other.send()
    assert other.stream.datagrams() == [QUESTION]


def test_an_answer_too_long_for_a_datagram_is_dropped_and_counted() -> None:
    world = World().begin()
    world.send()
    world.receive(Datagram("198.51.100.53", 53, bytes(65_500)))
    assert world.relay.sent == []
    assert world.refusals.counts["udp-length"] == 1


def test_an_answer_that_the_system_can_not_take_now_is_dropped_and_counted() -> None:
    world = World().begin()
    world.send()
    world.relay.refuses = BlockingIOError(errno.EAGAIN, "full")
    world.receive()
    assert world.refusals.counts["udp-busy"] == 1
    world.relay.refuses = None
    world.receive()
    assert len(world.relay.sent) == 1


# -- what was not delivered --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "rule", "reply"),
    [
        (5, "udp-refused", Reply.REFUSED),
        (2, "udp-denied", Reply.NOT_ALLOWED),
        (3, "udp-unreachable", Reply.NETWORK_UNREACHABLE),
        (4, "udp-unreachable", Reply.HOST_UNREACHABLE),
        (1, "udp-not-tested", Reply.GENERAL_FAILURE),
        (0, "udp-not-tested", Reply.GENERAL_FAILURE),
        (250, "udp-not-tested", Reply.GENERAL_FAILURE),
    ],
)
def test_wish_5_what_came_to_nothing_is_counted_logged_and_in_the_scans_record(
    code: int, rule: str, reply: Reply
) -> None:
    world = World().begin()
    world.send()
    for _ in range(3):
        world.receive(Datagram("198.51.100.53", 53, bytes([code]) + b"why\n"), Kind.UNDELIVERED)
    assert world.relay.sent == [], "SOCKS has no field for it"
    assert world.refusals.counts[rule] == 3
    assert world.association.counts["undelivered"] == 3
    assert world.record.results == [("198.51.100.53", 53, reply)], "a target once, however often a Client tries"


def test_an_undelivered_record_may_be_empty() -> None:
    world = World().begin()
    world.receive(Datagram("198.51.100.53", 53, b""), Kind.UNDELIVERED)
    assert world.refusals.counts["udp-not-tested"] == 1


def test_the_targets_told_to_the_record_are_bounded() -> None:
    world = World().begin()
    for port in range(1, limits.ASSOCIATION_TARGETS_TOLD + 10):
        world.receive(Datagram("198.51.100.53", port, b"\5"), Kind.UNDELIVERED)
    assert len(world.record.results) == limits.ASSOCIATION_TARGETS_TOLD


# -- beginnings that fail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [Reply.COMMAND_NOT_SUPPORTED, Reply.GENERAL_FAILURE, Reply.NOT_ALLOWED])
def test_the_routers_refusal_is_the_clients(reply: Reply) -> None:
    world = World(answer=Associated(reply, detail="why")).ask()
    assert world.client.answers == [(reply, "", 0)]
    assert world.relays == []
    world.association.client_lost()


def test_a_client_of_a_unix_socket_has_no_address_that_could_be_checked() -> None:
    world = World(here=UNIXAddress(b"/run/clients"), there=UNIXAddress(b"")).ask()
    assert world.client.answers == [(Reply.COMMAND_NOT_SUPPORTED, "", 0)]
    assert world.asked == []
    assert world.refusals.counts["udp-listener"] == 1
    world.association.client_lost()


def test_files_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world.associations._headroom, "refusal", lambda: "9 files are open")
    world.ask()
    assert world.client.answers == [(Reply.GENERAL_FAILURE, "", 0)]
    assert world.asked == []
    assert world.refusals.counts["descriptors"] == 1


def test_no_port_for_the_relay() -> None:
    world = World().ask()
    world.no_port = OSError(errno.EADDRNOTAVAIL, "not ours")
    world.dial.callback(Associated(Reply.SUCCEEDED, world.stream))  # type: ignore[arg-type]
    assert world.client.answers == [(Reply.GENERAL_FAILURE, "", 0)]
    assert world.stream.aborted
    assert world.refusals.counts["udp-relay"] == 1


def test_a_client_that_leaves_before_the_answer_withdraws_the_question() -> None:
    world = World().ask()
    world.association.client_lost()
    assert world.cancelled == 1
    assert world.client.answers == []
    assert world.relays == []


def test_j3_a_fault_of_our_own_ends_this_association_only() -> None:
    world = World().ask()
    with logged_failures() as logged:
        world.dial.errback(Failure(ZeroDivisionError()))
    assert len(logged) == 1
    assert world.client.closed
    assert world.association.over


# -- ends ------------------------------------------------------------------------------------------------------------


def test_d2_the_end_of_the_tcp_connection_is_the_associations_at_once() -> None:
    world = World().begin()
    world.send()
    world.association.client_lost()
    assert world.gone()
    world.send()
    assert world.stream.datagrams() == [QUESTION]


def test_d2_a_minute_without_datagrams_ends_it() -> None:
    world = World().begin()
    world.clock.advance(limits.ASSOCIATION_IDLE_SECONDS - 1)
    world.send()
    world.clock.advance(limits.ASSOCIATION_IDLE_SECONDS - 1)
    world.receive()
    world.clock.advance(limits.ASSOCIATION_IDLE_SECONDS - 1)
    assert not world.association.over
    world.clock.advance(1)
    assert world.gone()
    assert world.client.closed


def test_what_is_dropped_keeps_nothing_alive() -> None:
    world = World().begin()
    world.clock.advance(limits.ASSOCIATION_IDLE_SECONDS - 1)
    world.send(source=("192.0.2.77", 1))
    world.send(FRAGMENT)
    world.clock.advance(1)
    assert world.gone()


@pytest.mark.parametrize("how", ["fin", "lost", "broken-record", "socket"])
def test_the_other_ends_close_the_clients_connection(how: str) -> None:
    world = World().begin()
    match how:
        case "fin":
            world.stream.protocol.readConnectionLost()
        case "lost":
            world.stream.protocol.connectionLost(Failure(error.ConnectionLost()))
        case "broken-record":
            world.stream.protocol.dataReceived(b"\0\0")
        case "socket":
            world.relay.receiver.socket_failed(OSError(errno.ENETDOWN, "down"))
    assert world.gone()
    assert world.client.closed
    world.association.client_lost()
