"""``--source``: the addresses that targets are dialled from, and from no other."""

import errno
from ipaddress import ip_address
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.python.failure import Failure

from socksfusion.agent.dial import Dialler
from socksfusion.agent.options import Options
from socksfusion.agent.source import NO_SOURCES, NoSource, Sources, chosen_sources, parse_source
from socksfusion.errors import UsageError
from tests.agent.fake_network import FakeNetwork

FOUR, SIX = ip_address("192.0.2.9"), ip_address("2001:db8::9")


def failure_of(dialled: "Deferred[Any]") -> Any:
    failures: list[Failure] = []
    dialled.addErrback(failures.append)
    return failures[0].value


def test_each_family_is_dialled_from_its_own() -> None:
    network = FakeNetwork()
    everywhere = Sources("192.0.2.9", "2001:db8::9", owns=lambda _: True)
    dialler = Dialler(network.reactor, prepare=lambda _: None, sources=everywhere)
    dialler.dial(["192.0.2.1"], 80, 10)
    dialler.dial(["2001:db8::1"], 80, 10)
    Dialler(network.reactor, sources=Sources(four="192.0.2.9", owns=lambda _: True)).dial(["2001:db8::1"], 80, 10)
    bound = [attempt[4] for attempt in network.reactor.tcpClients]
    assert bound == [("192.0.2.9", 0), ("2001:db8::9", 0), None]


def test_the_kernel_is_asked_whether_the_machine_has_them() -> None:
    assert chosen_sources([]) == NO_SOURCES
    # everybody has loopback, and nobody RFC 5737's
    assert chosen_sources([ip_address("127.0.0.1")]).towards("192.0.2.1") == "127.0.0.1"
    with pytest.raises(NoSource, match=r"has not got 203\.0\.113\.77"):
        chosen_sources([ip_address("203.0.113.77")]).towards("192.0.2.1")


def test_nothing_is_dialled_from_elsewhere_until_the_machine_has_it() -> None:
    owned: set[str] = set()
    network = FakeNetwork()
    sources = chosen_sources([FOUR, SIX], owns=lambda address: str(address) in owned)
    dialler = Dialler(network.reactor, prepare=lambda _: None, sources=sources)
    failure = failure_of(dialler.dial(["192.0.2.1"], 80, 10))
    assert isinstance(failure, NoSource)
    assert (failure.reply, failure.tried, failure.rule) == (1, False, "source")
    assert str(failure) == "the Agent's machine has not got 192.0.2.9, the address to dial from"
    assert not network.reactor.tcpClients
    owned.add("192.0.2.9")
    dialler.dial(["192.0.2.1"], 80, 10)
    assert network.reactor.tcpClients[0][4] == ("192.0.2.9", 0)


def test_a_target_of_both_families_is_dialled_from_the_address_that_is_there() -> None:
    network = FakeNetwork()
    sources = chosen_sources([FOUR, SIX], owns=FOUR.__eq__)
    dialler = Dialler(network.reactor, prepare=lambda _: None, sources=sources)
    dialled = dialler.dial(["2001:db8::1", "192.0.2.1"], 80, 10)
    ((host, _, _, _, bound),) = network.reactor.tcpClients
    assert (host, bound) == ("192.0.2.1", ("192.0.2.9", 0))
    network.fail(0, errno.ECONNREFUSED)
    assert failure_of(dialled).reply == 5, "which tells more than an address that is missing"


def test_two_of_a_family_are_one_too_many() -> None:
    with pytest.raises(UsageError, match=r"one IPv4 and one IPv6 address, and 192\.0\.2\.8 is a second"):
        chosen_sources([FOUR, ip_address("192.0.2.8")], owns=lambda _: True)


@pytest.mark.parametrize("text", ["", "eth0", "192.0.2.0/24", "fe80::1%eth0", "::ffff:192.0.2.9", "127.1"])
def test_only_addresses_are_sources(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|interface"):
        parse_source(text)
    with pytest.raises(usage.UsageError, match="--source"):
        Options().parseOptions(["--copy=a", f"--source={text}"])
