"""Never a wrong agent: while A is away, what its Clients ask for is not dialled by B, on whichever way they ask."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.end_to_end.admin import token_in
from tests.end_to_end.network import Login, Target, echo, receive_exactly, socks_connect, socks_open
from tests.end_to_end.programs import Installation, free_port, wait_until

OPENS = 20


def replies(port: int, target: Target, login: Login | None = None) -> set[int]:
    """The replies of some Clients that ask at once."""

    def one(_number: int) -> int:
        reply, client = socks_open(port, "127.0.0.1", target.port, login=login)
        client.close()
        return reply

    with ThreadPoolExecutor(OPENS) as pool:
        return set(pool.map(one, range(OPENS)))


def test_two_registered_agents_have_no_shared_port(installed: Installation) -> None:
    copies = [installed.add_agent(name) for name in ("a", "b")]
    proxy = installed.start_proxy()
    for copy in copies:
        installed.start_agent(copy)
    with Target(echo) as target:
        assert replies(installed.clients_port, target) == {1}
        assert target.accepted == 0
    proxy.wait_log(
        f"127.0.0.1:{target.port} was not tried: 2 agents are registered and this port is nobody's own; "
        "log in as an agent with its token, or give each agent a port by: socksfusion agent port NAME PORT"
    )


Way = Callable[[Installation], tuple[int, Login | None]]
"""Makes a way to agent a: a port and a login."""


def own_port(installed: Installation) -> tuple[int, Login | None]:
    port = free_port()
    installed.admin("agent", "port", "a", str(port))
    return port, None


def scans_port(installed: Installation) -> tuple[int, Login | None]:
    port = free_port()
    installed.admin("scan", "start", "a", "--port", str(port))
    return port, None


def agents_login(installed: Installation) -> tuple[int, Login | None]:
    return installed.clients_port, ("a", token_in(installed.admin("agent", "token", "a")))


def scans_login(installed: Installation) -> tuple[int, Login | None]:
    return installed.clients_port, ("a", token_in(installed.admin("scan", "start", "a")))


def clients_login(installed: Installation) -> tuple[int, Login | None]:
    return installed.clients_port, ("alice@a", token_in(installed.admin("client", "add", "alice", "--all")))


@pytest.mark.parametrize("way", [own_port, scans_port, agents_login, scans_login, clients_login])
def test_a_drops_and_b_connects_while_clients_of_a_go_on(installed: Installation, way: Way) -> None:
    copies = {name: installed.add_agent(name) for name in ("a", "b")}
    port, login = way(installed)
    installed.start_proxy("--hold", "0.5")
    agent = installed.start_agent(copies["a"])
    with Target(echo) as target:
        assert replies(port, target, login) == {0}
        wait_until(lambda: target.accepted == OPENS, lambda: target.accepted)
        agent.kill()
        with ThreadPoolExecutor(1) as meanwhile:
            opening = meanwhile.submit(replies, port, target, login)
            other = installed.start_agent(copies["b"])
            assert opening.result() == {1}
        assert replies(port, target, login) == {1}
        # b has been at hand all the time, and what it dials now is counted after all that it may have dialled before
        b_login = ("b", token_in(installed.admin("agent", "token", "b")))
        wait_until(lambda: may_open(installed, target, b_login), lambda: other.log)
        assert target.accepted == OPENS + 1


def may_open(installed: Installation, target: Target, login: Login) -> bool:
    try:
        client = socks_connect(installed.clients_port, "127.0.0.1", target.port, login=login)
    except PermissionError:
        return False
    with client:
        client.sendall(b"b")
        return receive_exactly(client, 1) == b"b"


def test_port_of_an_agent_that_is_away(installed: Installation) -> None:
    copies = {name: installed.add_agent(name) for name in ("a", "b")}
    ports = {name: free_port() for name in copies}
    for name, port in ports.items():
        installed.admin("agent", "port", name, str(port))
    proxy = installed.start_proxy("--hold", "0.5")
    agents = {name: installed.start_agent(copy) for name, copy in copies.items()}
    with Target(echo) as target:
        socks_connect(ports["a"], "127.0.0.1", target.port).close()
        agents["a"].kill()
        assert replies(ports["a"], target) == {1}  # held: A's scan runs
        assert replies(installed.clients_port, target) == {1}
        assert target.accepted == 1
        proxy.wait_log("agent a did not come back within 0.5 s")

        socks_connect(ports["b"], "127.0.0.1", target.port).close()
        assert target.accepted == 2
        installed.admin("agent", "revoke", "a")
        assert replies(ports["a"], target) == {1}
        assert target.accepted == 2


def test_shared_port_of_the_only_agent_that_is_away(installed: Installation) -> None:
    """B is registered and connects; then A is revoked, which leaves B alone while A's Clients still ask."""
    first = installed.add_agent("a")
    proxy = installed.start_proxy("--hold", "0.5")
    agent = installed.start_agent(first)
    with Target(echo) as target:
        socks_connect(installed.clients_port, "127.0.0.1", target.port).close()
        agent.kill()
        assert replies(installed.clients_port, target) == {1}
        installed.start_agent(installed.add_agent("b"))
        assert replies(installed.clients_port, target) == {1}
        proxy.wait_log("2 agents are registered")

        installed.admin("agent", "revoke", "a")
        wait_until(
            lambda: (
                replies(installed.clients_port, target) == {1}
                and any("the scan of agent a, which is revoked, is not over" in line for line in proxy.log)
            ),
            lambda: proxy.log,
        )
        assert target.accepted == 1
