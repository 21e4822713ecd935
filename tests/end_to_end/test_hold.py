"""While the Agent of a running scan is away, what its Clients ask for waits; nothing is told as closed untried."""

import time

import pytest

from tests.end_to_end.network import (
    PATIENCE_SECONDS,
    Target,
    echo,
    receive_exactly,
    reset,
    socks_ask,
    socks_connect,
    socks_open,
)
from tests.end_to_end.programs import Installation
from tests.end_to_end.scans import NOT_TESTED, run, show_scan, start_scan


def test_open_waits_for_the_agent_to_come_back(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy)
    with Target(echo) as target:
        socks_connect(installed.clients_port, "127.0.0.1", target.port).close()
        agent.kill()
        proxy.wait_log("is gone")
        waiting = [socks_ask(installed.clients_port, "127.0.0.1", target.port) for _ in range(3)]
        reset(waiting.pop())  # who loses its patience is not dialled for
        installed.start_agent(copy)
        for client in waiting:
            with client:
                assert receive_exactly(client, 10)[1] == 0
                client.sendall(b"late, but true")
                assert receive_exactly(client, 14) == b"late, but true"
        assert target.accepted == 3  # one before, two after


def test_hold_is_over(installed: Installation) -> None:
    """The scan outlives the Proxy, too: it is one that was started anew that holds."""
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy)
    with Target(echo) as target:
        socks_connect(installed.clients_port, "127.0.0.1", target.port).close()
        agent.kill()
        proxy.stop()
        proxy = installed.start_proxy("--hold", "1")
        began = time.monotonic()
        reply, client = socks_open(installed.clients_port, "127.0.0.1", target.port)
        client.close()
        assert reply == 1
        assert time.monotonic() - began > 0.95
        assert target.accepted == 1
    proxy.wait_log(f"127.0.0.1:{target.port} was not tried: agent demo did not come back within 1 s")


def test_no_scan_no_wait(installed: Installation) -> None:
    installed.add_agent("demo")
    proxy = installed.start_proxy()
    began = time.monotonic()
    reply, client = socks_open(installed.clients_port, "127.0.0.1", 9)
    client.close()
    assert reply == 1
    assert time.monotonic() - began < 5  # of the 20 that a hold lasts
    proxy.wait_log("127.0.0.1:9 was not tried: agent demo is not connected")


def test_a_scan_that_is_stopped_meanwhile_tells_what_it_left(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy)
    scan = start_scan(installed, "demo")
    agent.kill()
    proxy.wait_log("is gone")
    with socks_ask(scan["port"], "127.0.0.1", 9) as client:
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(PATIENCE_SECONDS)
        code, said, _ = run(installed, "stop", scan["id"])
        assert receive_exactly(client, 10)[1] == 1
    assert code == NOT_TESTED, said
    assert show_scan(installed, scan["id"])["untested"][0]["port"] == 9
