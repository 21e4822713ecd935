"""Every code of the table of replies, provoked for real through both programs."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.end_to_end.namespaces import Network
from tests.end_to_end.network import (
    Target,
    echo,
    receive_exactly,
    reset,
    socks_connect,
    socks_open,
    socks_request,
)
from tests.end_to_end.programs import Installation, Program, installation

UNREACHABLE = "Target is unreachable: "


class Site:
    """A Proxy and an Agent with the default policy in the near namespace, and targets in the far one."""

    def __init__(self, network: Network, made: Installation) -> None:
        self.near = network.near
        self.installed = made
        copy = made.add_agent("demo")
        made.start_proxy("--connect-timeout", "3")
        self.agent: Program = made.start_agent(copy, allow=())
        with network.far.inside():
            self.targets = [Target(echo, host, 8080) for host in ("192.0.2.2", "2001:db8::2")]
            self.targets.append(Target(reset, "192.0.2.2", 8082))

    def ask(self, host: str, port: int) -> tuple[int, socket.socket]:
        with self.near.inside():
            return socks_open(self.installed.clients_port, host, port)

    @contextmanager
    def client(self) -> Iterator[socket.socket]:
        """A connection to the SOCKS port, nothing said yet."""
        with self.near.inside():
            connection = socket.create_connection(("127.0.0.1", self.installed.clients_port), 30)
        with connection:
            yield connection


@pytest.fixture(scope="module")
def site(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with installation(tmp_path_factory.mktemp("replies"), network.near.prefix) as made:
        yield Site(network, made)


@pytest.mark.parametrize("host", ["192.0.2.2", "2001:db8::2"])
def test_00_the_target_accepted(site: Site, host: str) -> None:
    reply, client = site.ask(host, 8080)
    with client:
        assert reply == 0
        client.sendall(b"over the cable")
        assert receive_exactly(client, 14) == b"over the cable"


@pytest.mark.parametrize(("host", "kind", "own"), [("192.0.2.2", 1, "192.0.2.1"), ("2001:db8::2", 4, "2001:db8::1")])
def test_00_tells_the_address_that_the_agent_dialled_from(site: Site, host: str, kind: int, own: str) -> None:
    family = socket.AF_INET if kind == 1 else socket.AF_INET6
    with site.client() as client:
        client.sendall(b"\x05\x01\x00" + socks_request(host, 8080))
        assert receive_exactly(client, 2 + 4) == b"\x05\x00" + b"\x05\x00\x00" + bytes([kind])
        address = receive_exactly(client, 4 if kind == 1 else 16)
        assert socket.inet_ntop(family, address) == own
        assert int.from_bytes(receive_exactly(client, 2)) > 0


def test_00_and_a_reset_where_the_target_accepts_and_resets(site: Site) -> None:
    reply, client = site.ask("192.0.2.2", 8082)
    with client:
        assert reply == 0
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.parametrize(
    ("code", "host", "why"),
    [
        (5, "192.0.2.2", "nobody listens"),
        (5, "2001:db8::2", "nobody listens"),
        (6, "198.51.100.1", "the packets vanish"),
        (6, "2001:db8:1::1", "the packets vanish"),
        (4, "192.0.2.99", "no such neighbour"),
        (4, "203.0.113.65", "the route says unreachable"),
        (4, "nowhere.invalid", "no such name"),
        (3, "203.0.113.200", "no route"),
        (2, "203.0.113.1", "the route says prohibited"),
    ],
)
def test_a_dial_that_failed_tells_how(site: Site, code: int, host: str, why: str) -> None:
    before = len(site.agent.out)
    reply, client = site.ask(host, 81)
    with client:
        assert reply == code, why
        assert client.recv(1) == b"", "a refusal ends the connection"
    shown = f"[{host}]" if ":" in host else host
    site.agent.wait_out(f"{UNREACHABLE}{shown}:81", since=before)


def test_02_denied_by_the_policy_and_no_word_of_unreachable(site: Site) -> None:
    before = len(site.agent.out)
    for host in ("127.0.0.1", "192.0.2.1", "::1", "169.254.169.254"):
        reply, client = site.ask(host, 81)
        client.close()
        assert reply == 2
    reply, client = site.ask("203.0.113.200", 82)
    client.close()
    site.agent.wait_out("203.0.113.200:82", since=before)
    assert [line for line in site.agent.messages[before:] if line.startswith(UNREACHABLE)] == [
        f"{UNREACHABLE}203.0.113.200:82"
    ]


@pytest.mark.parametrize(("command", "name"), [(2, "BIND"), (9, "no such command")])
def test_07_the_command_is_not_served(site: Site, command: int, name: str) -> None:
    with site.client() as client:
        client.sendall(b"\x05\x01\x00" + socks_request("192.0.2.2", 8080, command))
        assert receive_exactly(client, 2 + 10) == b"\x05\x00" + b"\x05\x07\x00\x01" + bytes(6)
        assert client.recv(1) == b""


def test_08_the_address_type_is_unknown(site: Site) -> None:
    with site.client() as client:
        client.sendall(b"\x05\x01\x00" + b"\x05\x01\x00\x02" + bytes(6))
        assert receive_exactly(client, 2 + 10) == b"\x05\x00" + b"\x05\x08\x00\x01" + bytes(6)
        assert client.recv(1) == b""


def test_ff_where_the_client_offers_no_method_of_ours(site: Site) -> None:
    with site.client() as client:
        client.sendall(b"\x05\x02\x01\x03")
        assert receive_exactly(client, 2) == b"\x05\xff"
        assert client.recv(1) == b""


def test_01_nobody_is_connected(installed: Installation) -> None:
    proxy = installed.start_proxy()
    for registered, told in ((0, "no agent is registered"), (1, "agent agent0 is not connected"), (2, "2 agents")):
        if registered:
            installed.add_agent(f"agent{registered - 1}")
        # the Proxy looks at its registry twice a second
        while True:
            reply, client = socks_open(installed.clients_port, "127.0.0.1", 81)
            client.close()
            assert reply == 1
            if any(told in line for line in proxy.log):
                break
    proxy.wait_log("was not tried: 2 agents are registered and this port is nobody's own")


def test_01_the_agent_is_lost_during_the_dial(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy("--scan-idle", "600")
    agent = installed.start_agent(copy)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        # a queue of one that is full: further dials get no answer
        with socket.create_connection(("127.0.0.1", port)), socket.socket() as client:
            client.settimeout(30)
            client.connect(("127.0.0.1", installed.clients_port))
            client.sendall(b"\x05\x01\x00" + socks_request("127.0.0.1", port))
            assert receive_exactly(client, 2) == b"\x05\x00"
            agent.wait_out("Scan is started")
            agent.kill()
            assert receive_exactly(client, 4) == b"\x05\x01\x00\x01"
    proxy.wait_log("is gone")


def test_01_no_agent_came_back_within_the_hold(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy("--hold", "0.5")
    agent = installed.start_agent(copy)
    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port):
        pass
    agent.kill()
    proxy.wait_log("is gone")
    reply, client = socks_open(installed.clients_port, "127.0.0.1", 81)
    client.close()
    assert reply == 1
    proxy.wait_log("did not come back within 0.5 s")


def test_the_hold_ends_when_the_agent_comes_back(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy)
    with Target(echo) as target:
        with socks_connect(installed.clients_port, "127.0.0.1", target.port):
            pass
        agent.kill()
        proxy.wait_log("is gone")
        with socket.create_connection(("127.0.0.1", installed.clients_port), 30) as client:
            client.sendall(b"\x05\x01\x00" + socks_request("127.0.0.1", target.port))
            assert receive_exactly(client, 2) == b"\x05\x00"
            installed.start_agent(copy)
            assert receive_exactly(client, 10)[:2] == b"\x05\x00"
            client.sendall(b"held")
            assert receive_exactly(client, 4) == b"held"
