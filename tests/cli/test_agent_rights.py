import re
import socket

import pytest

from socksfusion.identity.tokens import token_digest
from socksfusion.registry.schema import Scan
from socksfusion.registry.store import Registry
from tests.cli.conftest import Command, told


def test_revoke_and_restore(ready: Command, registry: Registry) -> None:
    ready("agent", "add", "acme")
    assert "undo it by: socksfusion agent restore acme" in ready("agent", "revoke", "acme").stdout
    assert registry.agent("acme").revoked
    assert "revoked" in ready("agent", "list").stdout
    assert "nothing was changed" in ready("agent", "revoke", "acme").stdout
    assert "no copy of it works until: socksfusion agent restore acme" in (
        ready("agent", "renew", "acme", "--out", "acme-2.agent").stdout
    )
    assert "may connect again" in ready("agent", "restore", "acme").stdout
    assert not registry.agent("acme").revoked
    assert "nothing was changed" in ready("agent", "restore", "acme").stdout


def test_port(ready: Command, registry: Registry) -> None:
    ready("agent", "add", "acme")
    ready("agent", "add", "other")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert f"127.0.0.1:{port}" in ready("agent", "port", "acme", str(port)).stdout
    assert registry.agent("acme").port == port
    taken = ready("agent", "port", "other", str(port))
    assert taken.exit_code == 2
    assert f"port {port} is agent acme's" in told(taken)
    assert ready("agent", "port", "acme", "none").exit_code == 0
    assert registry.agent("acme").port is None
    assert ready("agent", "port", "other", str(port)).exit_code == 0


@pytest.mark.parametrize("port", ["0", "65536", "1e3", "٤", "", "all", "100000"])
def test_no_ports(ready: Command, port: str) -> None:
    ready("agent", "add", "acme")
    result = ready("agent", "port", "acme", port)
    assert result.exit_code == 2
    assert "from 1 to 65535, or none" in told(result)


def test_a_port_that_another_program_has(ready: Command, registry: Registry) -> None:
    """It was told as done before, and then never opened."""
    ready("agent", "add", "acme")
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        result = ready("agent", "port", "acme", str(number))
        assert result.exit_code == 2
        assert f"another program has port {number} on 127.0.0.1" in told(result)
        assert registry.agent("acme").port is None
        registry.set_port("acme", number)
        assert ready("agent", "port", "acme", str(number)).exit_code == 0, "the Proxy itself has it then"


def test_a_scans_port(ready: Command, registry: Registry) -> None:
    ready("agent", "add", "acme")
    ready("agent", "add", "other")
    registry.scans.start(Scan("one", "acme", 5.0, None, 5.0, kind="explicit", port=20000))
    result = ready("agent", "port", "other", "20000")
    assert result.exit_code == 2
    assert "port 20000 is the running scan one's, of agent acme" in told(result)


# -- token and remove ---------------------------------------------------------------------------------------------


def token_in(text: str) -> str:
    found = re.findall(r"token for clients of agent \S+: (\S+)$", text, re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def test_each_agent_has_a_token_that_is_told_once(ready: Command, registry: Registry) -> None:
    first = token_in(ready("agent", "add", "acme").stdout)
    assert registry.agent("acme").token == token_digest(first)
    second = token_in(ready("agent", "token", "acme").stdout)
    assert second != first
    assert registry.agent("acme").token == token_digest(second)
    for output in (ready("agent", "show", "acme").output, ready("agent", "list", "--json").output):
        assert second not in output


def test_remove(ready: Command, registry: Registry) -> None:
    ready("agent", "add", "acme")
    registry.scans.start(Scan("one", "acme", 5.0, None, 5.0))
    refused = ready("agent", "remove", "acme")
    assert refused.exit_code == 2
    assert "scan one of agent acme is running; end it by: socksfusion scan stop one" in told(refused)
    assert ready("scan", "stop", "one").exit_code == 0
    assert "socksfusion scan list --agent acme" in ready("agent", "remove", "acme").stdout
    assert registry.agents() == []
    assert "one" in ready("scan", "list", "--agent", "acme").stdout
    assert "acme" in ready("scan", "show", "one").stdout
