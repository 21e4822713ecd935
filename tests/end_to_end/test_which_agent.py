"""Never a wrong agent: while A is away, what its Clients ask for is not dialled by B, on whichever port they ask."""

from concurrent.futures import ThreadPoolExecutor

from tests.end_to_end.network import Target, echo, socks_connect, socks_open
from tests.end_to_end.programs import Installation, free_port, wait_until

OPENS = 20


def replies(port: int, target: Target) -> set[int]:
    """The replies of some Clients that ask at once."""

    def one(_number: int) -> int:
        reply, client = socks_open(port, "127.0.0.1", target.port)
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
        "give each agent a port by: socksfusion agent port NAME PORT"
    )


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
