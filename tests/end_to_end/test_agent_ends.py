"""An agent whose time is over, or that is removed, while it serves."""

from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, socks_open, was_reset
from tests.end_to_end.programs import Installation, wait_until


def test_an_agent_whose_time_is_over_is_shut_out(installed: Installation) -> None:
    """Nothing in the registry changes at that moment."""
    copy = installed.add_agent("demo")
    installed.start_proxy()
    agent = installed.start_agent(copy)
    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"there")
        assert receive_exactly(client, 5) == b"there"
        out = str(installed.folder / "later.agent")
        installed.admin("agent", "renew", "demo", "--proxy", "localhost:443", "--expires", "2s", "--out", out)
        agent.wait_out("This agent is not registered")
        wait_until(lambda: was_reset(client), lambda: "the stream goes on")
        reply, refused = socks_open(installed.clients_port, "127.0.0.1", target.port)
        refused.close()
        assert reply == 1
        assert target.accepted == 1


def test_a_removed_agent_is_shut_out(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy)
    with Target(echo) as target:
        socks_connect(installed.clients_port, "127.0.0.1", target.port).close()
        [scan] = [line.split()[0] for line in installed.admin("scan", "list", "--running").splitlines()[1:]]
        installed.admin("scan", "stop", scan)
        installed.admin("agent", "remove", "demo")
        agent.wait_out("This agent is not registered")
        proxy.wait_log("rule=agent-unknown")
        reply, refused = socks_open(installed.clients_port, "127.0.0.1", target.port)
        refused.close()
        assert reply == 1
    assert scan in installed.admin("scan", "list", "--agent", "demo")
