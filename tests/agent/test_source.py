"""``--source``: the addresses that targets are dialled from."""

from ipaddress import ip_address

import pytest
from twisted.python import usage

from socksfusion.agent.dial import Dialler
from socksfusion.agent.options import Options
from socksfusion.agent.source import NO_SOURCES, Sources, chosen_sources, parse_source
from socksfusion.errors import UsageError
from tests.agent.fake_network import FakeNetwork

FOUR, SIX = ip_address("192.0.2.9"), ip_address("2001:db8::9")


def test_each_family_is_dialled_from_its_own() -> None:
    network = FakeNetwork()
    dialler = Dialler(network.reactor, prepare=lambda _: None, sources=Sources("192.0.2.9", "2001:db8::9"))
    dialler.dial(["192.0.2.1"], 80, 10)
    dialler.dial(["2001:db8::1"], 80, 10)
    Dialler(network.reactor, sources=Sources(four="192.0.2.9")).dial(["2001:db8::1"], 80, 10)
    bound = [attempt[4] for attempt in network.reactor.tcpClients]
    assert bound == [("192.0.2.9", 0), ("2001:db8::9", 0), None]


def test_the_machine_must_have_them() -> None:
    assert chosen_sources([]) == NO_SOURCES
    assert chosen_sources([SIX, FOUR], owns=lambda _: True) == Sources("192.0.2.9", "2001:db8::9")
    with pytest.raises(UsageError, match="--source 2001:db8::9: this machine has no such address"):
        chosen_sources([FOUR, SIX], owns=FOUR.__eq__)
    # the kernel is asked: everybody has loopback, and nobody RFC 5737's
    assert chosen_sources([ip_address("127.0.0.1")]).towards("192.0.2.1") == "127.0.0.1"
    with pytest.raises(UsageError, match="no such address"):
        chosen_sources([ip_address("203.0.113.77")])


def test_two_of_a_family_are_one_too_many() -> None:
    with pytest.raises(UsageError, match=r"one IPv4 and one IPv6 address, and 192\.0\.2\.8 is a second"):
        chosen_sources([FOUR, ip_address("192.0.2.8")], owns=lambda _: True)


@pytest.mark.parametrize("text", ["", "eth0", "192.0.2.0/24", "fe80::1%eth0", "::ffff:192.0.2.9", "127.1"])
def test_only_addresses_are_sources(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|interface"):
        parse_source(text)
    with pytest.raises(usage.UsageError, match="--source"):
        Options().parseOptions(["--copy=a", f"--source={text}"])
