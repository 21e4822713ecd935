"""Names with several addresses: the Agent tries them as RFC 8305 says, and the reply tells what came of it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.namespaces import Network
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, socks_open
from tests.end_to_end.programs import Installation, installation

HOSTS = """
127.0.0.1 localhost
2001:db8:1::7 half.test
192.0.2.2 half.test
2001:db8::2 both.test
192.0.2.2 both.test
"""


@pytest.fixture(scope="module")
def names(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Programs in a network where two names have addresses of both families; those of ``half.test`` answer in part."""
    folder = tmp_path_factory.mktemp("names")
    network.near.bind_file(HOSTS, "/etc/hosts", folder)
    with installation(folder, network.near.prefix) as made:
        copy = made.add_agent("demo")
        made.start_proxy("--connect-timeout", "5")
        made.start_agent(copy, allow=())
        yield made


@pytest.mark.parametrize(
    ("name", "host"), [("both.test", "192.0.2.2"), ("both.test", "2001:db8::2"), ("half.test", "192.0.2.2")]
)
def test_a_name_is_reached_by_the_family_that_serves(
    names: Installation, network: Network, name: str, host: str
) -> None:
    """Packets to the IPv6 address of half.test vanish: the next is tried a moment later, not after the time-out."""
    with network.far.inside():
        target = Target(echo, host)
    with network.near.inside(), target, socks_connect(names.clients_port, name, target.port) as client:
        client.sendall(b"found")
        assert receive_exactly(client, 5) == b"found"


def test_a_family_that_refuses_does_not_hide_the_one_that_serves(names: Installation, network: Network) -> None:
    """The IPv6 address of both.test refuses at once; the reply is the IPv4 address's."""
    with network.far.inside():
        target = Target(echo, "192.0.2.2")
    with network.near.inside(), target, socks_connect(names.clients_port, "both.test", target.port) as client:
        client.sendall(b"by the second")
        assert receive_exactly(client, 13) == b"by the second"


def test_a_name_whose_addresses_all_refuse_is_closed(names: Installation, network: Network) -> None:
    """Refused, never accepted and closed: so a Client tries its next address."""
    with network.near.inside():
        reply, client = socks_open(names.clients_port, "both.test", 81)
    with client:
        assert reply == 5
        assert client.recv(1) == b""
