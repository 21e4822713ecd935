"""The agents' listener: how many strangers may be at the door, and for how long."""

from typing import Any

from twisted.internet.address import IPv4Address

from socksfusion import limits
from socksfusion.descriptors import Headroom
from tests.proxy.gatehouse import Gatehouse, digest
from tests.tunnel.certificates import proxy_side
from tests.tunnel.pipe import pipe


def house_of_acme(**factory: Any) -> Gatehouse:
    house = Gatehouse(**factory)
    house.book.register("acme", digest())
    return house


def stranger(house: Gatehouse, host: str = "203.0.113.5") -> Any:
    """Connects and says nothing."""
    near, _ = pipe(house.clock, client=host)
    carrier = house.factory.buildProtocol(near.getHost())
    if carrier is not None:
        near.protocol = carrier
        carrier.makeConnection(near)  # type: ignore[no-untyped-call]
    return carrier


def test_a_silent_stranger_is_gone_in_time() -> None:
    """Row A1: for handshake and hello together, not for each byte."""
    house = house_of_acme()
    carrier = stranger(house)
    house.pass_time(limits.HANDSHAKE_SECONDS - 0.5)
    carrier.dataReceived(b"\x16")
    house.pass_time(0.25)
    assert not carrier.gone
    house.pass_time(0.5)
    assert carrier.gone
    assert not house.clock.getDelayedCalls()


def test_strangers_of_one_address_are_bounded_and_others_are_let_in() -> None:
    """Row A2."""
    house = house_of_acme()
    strangers = [stranger(house) for _ in range(limits.UNAUTHENTICATED_PER_ADDRESS)]
    assert None not in strangers
    assert stranger(house) is None
    assert house.refusals.counts["agents-flood"] == 1
    assert house.come(host="198.51.100.7").welcome is not None


def test_all_strangers_together_are_bounded() -> None:
    house = house_of_acme(total=5)
    assert None not in [stranger(house, f"203.0.113.{number}") for number in range(5)]
    assert stranger(house, "198.51.100.7") is None
    house.pass_time(limits.HANDSHAKE_SECONDS + 0.5)
    assert stranger(house, "198.51.100.7") is not None


def test_j1_too_many_open_files_close_a_newcomer_at_once() -> None:
    house = house_of_acme()
    house.factory.headroom = Headroom(0)
    assert stranger(house) is None
    assert house.refusals.counts == {"descriptors": 1}
    house.factory.headroom = Headroom(1 << 30)
    assert house.come().welcome is not None


def test_who_has_been_welcomed_or_refused_counts_no_more() -> None:
    house = house_of_acme(per_address=1)
    assert house.come(0, "one").welcome is not None
    assert house.come(1).refusal == "unknown"
    assert house.come(1).refusal == "unknown"
    assert house.come(0, "one").welcome is not None


def test_who_goes_by_itself_counts_no_more() -> None:
    house = house_of_acme(per_address=1)
    for _ in range(3):
        carrier = stranger(house)
        assert carrier is not None
        carrier.transport.loseConnection()
        carrier.transport.unregisterProducer()
        house.clock.advance(0)
        carrier.transport.move(1)
        assert carrier.gone


def test_a_newer_certificate_is_for_those_who_come_after() -> None:
    house = house_of_acme()
    older = house.come()
    house.factory.use(proxy_side(1))
    assert house.come().carrier.tls_failure is not None
    assert older.lost_why is None


def test_who_comes_is_named_with_its_port() -> None:
    house = house_of_acme()
    carrier = house.factory.buildProtocol(IPv4Address("TCP", "203.0.113.5", 1234))
    assert carrier is not None
    assert carrier.peer == "203.0.113.5:1234"
