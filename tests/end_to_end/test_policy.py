"""What the Agent refuses to dial: its own host and what only means its own link, in every spelling (row C4).

"Not one dial" is told by the kernel: it counts the connections that are begun in the namespace.
"""

import socket
from collections.abc import Iterator, Sequence

import pytest

from tests.end_to_end.namespaces import Network
from tests.end_to_end.network import Target, echo, receive_exactly
from tests.end_to_end.programs import Installation, Program, installation

PORT = 8080
HOSTS = """
127.0.0.1 localhost
::1 localhost
127.0.0.1 mixed.test
192.0.2.2 mixed.test
127.0.0.1 denied.test
192.0.2.1 denied.test
169.254.169.254 metadata.test
"""
LITERALS = [
    *("127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.0.0.1"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0.0.0.0", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("2002:7f00:1::", "2002:7f00:1::1", "64:ff9b::127.0.0.1", "64:ff9b:1::7f00:1", "2001:0:7f00:1::"),
    *("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "2002:c000:201::1"),
    *("169.254.169.254", "169.254.0.1", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1", "::ffff:224.0.0.251"),
    *("255.255.255.255", "192.0.2.255", "100.100.100.200", "fd00:ec2::254"),
]
NAMES = [
    *("localhost", "LOCALHOST", "denied.test", "metadata.test"),
    *("127.1", "127.0.1", "0", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001", "2130706433"),
    *("2852039166", "0xa9fea9fe", "192.0.513", "0xc0000201", "3758096385"),
    *("fe80::1%near", "ff02::1%near", "::1%lo", "0:0:0:0:0:0:0:1", "0:0:0:0:0:ffff:7f00:1"),
]


def spelled(host: str) -> Iterator[bytes]:
    """SOCKS addresses that mean ``host``: packed where it is an address, and as text."""
    for kind, family in ((b"\x01", socket.AF_INET), (b"\x04", socket.AF_INET6)):
        try:
            yield kind + socket.inet_pton(family, host)
        except OSError:
            pass
    yield b"\x03" + bytes([len(host)]) + host.encode()


class Site:
    """A Proxy and an Agent in the near namespace, a target in the far one, and one that must never be reached."""

    def __init__(self, network: Network, made: Installation) -> None:
        self.near = network.near
        self._made = made
        self._copy = made.add_agent("demo")
        made.start_proxy("--hold", "20")
        self._agent: Program | None = None
        with network.far.inside():
            self.far = Target(echo, "192.0.2.2", PORT)
        with self.near.inside():
            self.own = [Target(echo, "0.0.0.0", PORT), Target(echo, "::1", PORT)]

    def start_agent(self, *allow: str) -> None:
        if self._agent is not None:
            self._agent.stop()
        self._agent = self._made.start_agent(self._copy, allow=allow)

    def replies(self, addresses: Sequence[bytes]) -> list[int]:
        return [self._reply(address) for address in addresses]

    def reply(self, host: str) -> int:
        return self._reply(next(spelled(host)))

    def _reply(self, address: bytes) -> int:
        with self.near.inside():
            client = socket.create_connection(("127.0.0.1", self._made.clients_port), 30)
        with client:
            client.sendall(b"\x05\x01\x00" + b"\x05\x01\x00" + address + PORT.to_bytes(2))
            return receive_exactly(client, 4)[3]


@pytest.fixture(scope="module")
def site(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("policy")
    network.near.bind_file(HOSTS, "/etc/hosts", folder)
    with installation(folder, network.near.prefix) as made:
        yield Site(network, made)


def test_c4_the_default_refuses_every_spelling_and_dials_none(site: Site) -> None:
    site.start_agent()
    asked = [(host, address) for host in LITERALS + NAMES for address in spelled(host)]
    assert len(asked) > 60
    before = site.near.counter("ActiveOpens")
    replies = site.replies([address for _, address in asked])
    begun = site.near.counter("ActiveOpens") - before
    others = {(host, address): reply for (host, address), reply in zip(asked, replies, strict=True) if reply != 2}
    assert not others
    assert begun == len(asked), "the clients' own connections to the Proxy, and none more"
    assert [target.accepted for target in site.own] == [0, 0]


def test_the_default_dials_the_networks_behind_the_agent(site: Site) -> None:
    site.start_agent()
    before = site.near.counter("ActiveOpens")
    assert site.reply("192.0.2.2") == 0
    assert site.near.counter("ActiveOpens") - before == 2


def test_c5_of_a_name_only_the_allowed_addresses_are_dialled(site: Site) -> None:
    site.start_agent()
    accepted = site.far.accepted
    before = site.near.counter("ActiveOpens")
    assert site.reply("mixed.test") == 0
    assert site.near.counter("ActiveOpens") - before == 2
    assert site.far.accepted == accepted + 1
    assert [target.accepted for target in site.own] == [0, 0]


@pytest.mark.parametrize(
    ("allow", "allowed", "denied"),
    [
        (["0.0.0.0/0", "::/0"], ["192.0.2.2"], ["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1", "169.254.169.254"]),
        (["192.0.2.0/24"], ["192.0.2.2"], ["127.0.0.1", "192.0.2.1", "2001:db8::2", "198.51.100.1"]),
        (["127.0.0.0/8"], ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1"], ["::1", "192.0.2.2", "192.0.2.1", "0.0.0.0"]),
        (["::1"], ["::1"], ["127.0.0.1", "::2", "192.0.2.2"]),
        (["192.0.2.1"], ["192.0.2.1"], ["127.0.0.1", "192.0.2.2"]),
    ],
)
def test_allow_is_the_whole_list_and_opens_guarded_ranges_only_from_inside(
    site: Site, allow: list[str], allowed: list[str], denied: list[str]
) -> None:
    site.start_agent(*allow)
    assert {host: site.reply(host) for host in allowed} == dict.fromkeys(allowed, 0)
    assert {host: site.reply(host) for host in denied} == dict.fromkeys(denied, 2)
