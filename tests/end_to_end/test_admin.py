"""Admin commands while the Proxy runs: each takes effect at once, and what they show is true."""

import re
import socket
import time
from datetime import datetime

from socksfusion import __version__
from tests.end_to_end.admin import show, wait_shown
from tests.end_to_end.lines import NOT_REGISTERED, wait_for
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, socks_open, was_reset
from tests.end_to_end.programs import Installation, free_port, wait_until
from tests.end_to_end.raw_agent import RawAgent

AT_ONCE_SECONDS = 3.0
"""A second is promised; the machine may be busy."""


def answers(port: int, target: Target) -> bool:
    """Whether an echo comes back through the SOCKS port ``port``."""
    try:
        with socks_connect(port, "127.0.0.1", target.port) as client:
            client.sendall(b"echo")
            return receive_exactly(client, 4) == b"echo"
    except ConnectionRefusedError:
        return False


def test_new_key_is_known_at_once(installed: Installation) -> None:
    """However soon after the command it comes: an Agent that is not registered waits for minutes."""
    installed.start_proxy()
    copy = installed.add_agent("late")
    with RawAgent(installed.agents_port, copy) as agent:
        agent.serve()
    installed.admin("agent", "revoke", "late")
    installed.admin("agent", "restore", "late")
    newer = installed.folder / "newer.agent"
    installed.admin("agent", "renew", "late", "--proxy", "localhost:1", "--out", str(newer))
    with RawAgent(installed.agents_port, newer) as agent:
        agent.serve()


def test_revoke_ends_the_session_and_cuts_its_streams(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy)
    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"echo")
        assert receive_exactly(client, 4) == b"echo"
        installed.admin("agent", "revoke", "demo")
        revoked = time.monotonic()
        assert was_reset(client)
        assert time.monotonic() - revoked < AT_ONCE_SECONDS
        assert socks_open(installed.clients_port, "127.0.0.1", target.port)[0] == 1
        assert target.accepted == 1
    wait_for(agent, NOT_REGISTERED)
    proxy.wait_log("was not tried: no agent is registered")
    why = "refused: its key is not registered, or was revoked or has expired"
    wait_shown(installed, "demo", revoked=True, connected=False, last_error=why)


def test_show_tells_who_is_connected(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    assert show(installed, "demo")["last_seen"] is None
    proxy = installed.start_proxy()
    started = time.time()
    agent = installed.start_agent(copy)
    shown = wait_shown(installed, "demo", connected=True)
    assert datetime.fromisoformat(shown["last_seen"]).timestamp() >= int(started)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", shown["last_address"])
    assert shown["last_version"] == f"socksfusion/{__version__}"
    assert shown["last_error"] is None

    agent.stop()
    wait_shown(installed, "demo", connected=False, last_error=None)
    agent = installed.start_agent(copy)
    wait_shown(installed, "demo", connected=True)
    agent.kill()
    shown = wait_shown(installed, "demo", connected=False)
    assert shown["last_error"] is not None
    seen = datetime.fromisoformat(shown["last_seen"])

    installed.start_agent(copy)
    assert datetime.fromisoformat(wait_shown(installed, "demo", connected=True)["last_seen"]) >= seen
    proxy.kill()  # with its last word unsaid, nobody is connected
    assert show(installed, "demo")["connected"] is False


def test_port_of_its_own_opens_and_closes_at_once(serving: Installation) -> None:
    port = free_port()
    with Target(echo) as target:
        serving.admin("agent", "port", "demo", str(port))
        wait_until(lambda: answers(port, target), lambda: serving.programs[0].log, seconds=AT_ONCE_SECONDS)
        with socks_connect(port, "127.0.0.1", target.port) as client:
            serving.admin("agent", "port", "demo", "none")
            wait_until(lambda: not answers(port, target), lambda: serving.programs[0].log, seconds=AT_ONCE_SECONDS)
            client.sendall(b"what was open goes on")
            assert receive_exactly(client, 21) == b"what was open goes on"


def test_port_in_use_is_told_and_tried_again(installed: Installation) -> None:
    port = free_port()
    copy = installed.add_agent("demo")
    installed.admin("agent", "port", "demo", str(port))
    with Target(echo) as target, socket.create_server(("127.0.0.1", port)) as occupied:
        proxy = installed.start_proxy()
        line = proxy.wait_log(f"port {port} of agent demo can't be opened: ")
        assert line.endswith("; free it, or give the agent another")
        assert "Address already in use" in line
        installed.start_agent(copy)
        assert answers(installed.clients_port, target)
        occupied.close()
        proxy.wait_log(f"agent demo has port {port}")
        assert answers(port, target)
        assert sum("can't be opened" in line for line in proxy.log) == 1


def test_port_survives_a_restart_and_a_change_of_hands(installed: Installation) -> None:
    port = free_port()
    copy = installed.add_agent("demo")
    installed.add_agent("other")
    installed.admin("agent", "port", "demo", str(port))
    installed.start_proxy().stop()
    proxy = installed.start_proxy()
    installed.start_agent(copy)
    with Target(echo) as target:
        assert answers(port, target)
        installed.admin("agent", "port", "demo", "none")
        installed.admin("agent", "port", "other", str(port))
        proxy.wait_log(f"agent other has port {port}")
        reply, client = socks_open(port, "127.0.0.1", target.port)
        client.close()
        assert reply == 1
        proxy.wait_log("was not tried: agent other is not connected")
