"""``--source``: what the target sees, and a machine that gets the address later than the Agent starts."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.namespaces import Network
from tests.end_to_end.network import Target, socks_open
from tests.end_to_end.programs import Installation, installation
from tests.end_to_end.scans import start_scan, wait_scan

LATE = "192.0.2.77"


@pytest.fixture
def near(network: Network, tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path, network.near.prefix) as made:
        yield made


def test_nothing_is_dialled_until_the_machine_has_its_source(near: Installation, network: Network) -> None:
    seen: list[str] = []

    def look(connection: socket.socket) -> None:
        seen.append(connection.getpeername()[0])

    copy = near.add_agent("demo")
    near.start_proxy()
    agent = near.start_agent(copy, "--source", LATE, allow=("192.0.2.0/24",))
    agent.wait_log(f"--source {LATE}: this machine has no such address now")
    scan = start_scan(near, "demo")
    with network.far.inside():
        target = Target(look, "192.0.2.2")
    with target, network.near.inside():
        assert socks_open(scan["port"], "192.0.2.2", target.port)[0] == 1
        agent.wait_log("refused rule=source")
        network.near.run(f"ip addr add {LATE}/24 dev near")
        reply, client = socks_open(scan["port"], "192.0.2.2", target.port)
        with client:
            assert (reply, client.recv(1)) == (0, b"")
        network.near.run(f"ip addr del {LATE}/24 dev near")
        assert socks_open(scan["port"], "192.0.2.2", target.port)[0] == 1
    assert seen == [LATE]
    shown = wait_scan(near, scan["id"], lambda shown: sum(shown["replies"].values()) == 3)
    assert shown["replies"] == {"0x00": 1, "0x01": 2}
    assert shown["sources"] == [LATE]
    assert {one["why"] for one in shown["untested"]} == {
        f"the Agent's machine has not got {LATE}, the address to dial from"
    }
    assert not agent.messages[-1].startswith("Target is unreachable")
