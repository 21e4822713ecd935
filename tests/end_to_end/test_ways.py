"""A Proxy's name with a dead IPv6 address and a live IPv4 one: both are tried side by side."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.namespaces import Network
from tests.end_to_end.programs import Installation, installation

HOSTS = """
127.0.0.1 localhost
2001:db8:1::7 half.test
192.0.2.1 half.test
"""


@pytest.fixture(scope="module")
def half(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Packets to the IPv6 address vanish; the Proxy listens on the other."""
    folder = tmp_path_factory.mktemp("half")
    network.near.bind_file(HOSTS, "/etc/hosts", folder)
    with installation(folder, network.near.prefix) as made:
        made.admin("init", "--name", "half.test")
        made.start_proxy("--agents", f"tcp:{made.agents_port}:interface=192.0.2.1")
        yield made


def test_a_dead_ipv6_address_costs_no_time(half: Installation) -> None:
    """The dial is given up after 5 s, and the program's next would come after 300: it must be the first one."""
    copy = half.folder / "demo.agent"
    half.admin("agent", "add", "demo", "--proxy", f"half.test:{half.agents_port}", "--out", str(copy))
    waits = ("--handshake=5", "--reconnect-first=300", "--reconnect-largest=300")
    agent = half.start_agent(copy, *waits)
    assert agent.messages.count("Connecting to server...") == 1
