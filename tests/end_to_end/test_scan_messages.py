"""``Scan is started``: once a scan, whatever happens to connections and programs meanwhile."""

import pytest

from tests.end_to_end.forwarder import Forwarder
from tests.end_to_end.lines import ESTABLISHED, SCAN, messages, wait_for, wait_for_heartbeat
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, wait_until

HEARTBEAT = ("--heartbeat", "0.2")


def use(installed: Installation) -> None:
    """One Client's connection, from its start to its end."""
    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"scan")
        assert receive_exactly(client, 4) == b"scan"


def test_once_a_scan_not_once_a_stream_or_a_reconnection(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy(*HEARTBEAT)
    with Forwarder(installed.agents_port) as forwarder:
        agent = installed.start_agent(copy, "--proxy", f"localhost:{forwarder.port}", "--reconnect-first", "0.2")
        wait_for_heartbeat(agent)
        assert SCAN not in messages(agent)
        for _ in range(3):
            use(installed)
        wait_for_heartbeat(agent)
        assert messages(agent).count(SCAN) == 1

        forwarder.cut()
        wait_for(agent, ESTABLISHED, 2)
        use(installed)
        wait_for_heartbeat(agent)
        assert messages(agent).count(SCAN) == 1


def test_again_in_a_new_scan(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy(*HEARTBEAT, "--scan-idle", "0.5")
    agent = installed.start_agent(copy)
    for number in (1, 2):
        since = len(proxy.log)
        use(installed)
        wait_for(agent, SCAN, number)
        proxy.wait_log("of agent demo is over", since=since)
    wait_for_heartbeat(agent)
    assert messages(agent).count(SCAN) == 2


def test_open_stream_keeps_the_scan(installed: Installation) -> None:
    """However long it is silent."""
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy("--scan-idle", "0.5")
    installed.start_agent(copy)
    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.settimeout(2)
        with pytest.raises(TimeoutError):  # four times what ends an idle one
            client.recv(1)
        assert not any("is over" in line for line in proxy.log)
    proxy.wait_log("of agent demo is over")


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_outlives_the_proxy(installed: Installation, how: str) -> None:
    """The Agent that knows the scan is not told twice; one that comes new is, though no Client asks for anything."""
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy(*HEARTBEAT)
    agent = installed.start_agent(copy, "--reconnect-first", "0.2")
    use(installed)
    wait_for(agent, SCAN)
    # the Agent hears of it while it is being written down
    wait_until(lambda: '"running"' in installed.admin("scan", "list", "--json"), lambda: proxy.log)
    proxy.stop() if how == "stopped" else proxy.kill()

    proxy = installed.start_proxy(*HEARTBEAT)
    wait_for(agent, ESTABLISHED, 2)
    wait_for_heartbeat(agent)
    use(installed)
    wait_for_heartbeat(agent)
    assert messages(agent).count(SCAN) == 1
    assert not any("of agent demo started" in line for line in proxy.log)

    agent.stop()
    newcomer = installed.start_agent(copy)
    wait_for(newcomer, SCAN)
