"""Real Agents behind real proxies of a network: squid, tinyproxy, our own SOCKS port, and logins by NTLM and Negotiate.

NTLM and Negotiate are checked twice: by squid with the helper that comes with it, which does the whole handshake and
takes any password, and by pyspnego's own accepting side, which checks the password. No Windows machine is in it.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, Program, free_port, installation

pytest.importorskip("spnego")
from tests.agent.outbound.server_side import USERS, accounts
from tests.end_to_end.outbound_proxies import BASIC, ELSEWHERE, NTLM, PASSWORD, USER, LoginProxy, squid, tinyproxy


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A Proxy, and the copy of an agent that each test starts for itself."""
    with installation(tmp_path_factory.mktemp("far")) as made:
        made.add_agent("demo")
        made.admin("init", "--name", ELSEWHERE)
        made.start_proxy()
        yield made


@pytest.fixture
def agents(far: Installation) -> Iterator[Installation]:
    """The same; a test's Agents are ended after it."""
    yield far
    while far.programs[-1] is not far.proxy:
        far.programs.pop().stop()


def start(far: Installation, *arguments: str, **environment: str) -> Program:
    return far.start(
        "socksfusion-agent",
        "--copy",
        str(far.folder / "demo.agent"),
        "--allow",
        "127.0.0.0/8",
        *arguments,
        **environment,
    )


def password_file(folder: Path, password: str = PASSWORD) -> str:
    file = folder / "password"
    file.write_text(f"{password}\n")
    file.chmod(0o600)
    return f"--outbound-proxy-password-file={file}"


def carries(far: Installation) -> None:
    """Bytes pass both ways through the Agent that serves."""
    with Target(echo) as target, socks_connect(far.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"through two proxies")
        assert receive_exactly(client, 19) == b"through two proxies"


def keeps_quiet(agent: Program, *secrets: str) -> None:
    written = "\n".join([*agent.log, *agent.out, Path(f"/proc/{agent.pid}/cmdline").read_text()])
    assert [secret for secret in secrets if secret in written] == []


def way(far: Installation) -> str:
    return f"localhost:{far.agents_port}"


def test_squid_without_a_login(agents: Installation) -> None:
    with squid() as proxy:
        agent = start(agents, "--outbound-proxy", f"http://127.0.0.1:{proxy.port}")
        agent.wait_log(f"at {way(agents)} (through http://127.0.0.1:{proxy.port})")
        carries(agents)
        agent.stop()
        assert proxy.passed() == [["TCP_TUNNEL/200", way(agents), "-"]]


@pytest.mark.parametrize("by", ["option", "variable"])
def test_squid_with_basic(agents: Installation, tmp_path: Path, by: str) -> None:
    with squid(BASIC) as proxy:
        if by == "option":
            agent = start(agents, f"--outbound-proxy=http://{USER}@localhost:{proxy.port}", password_file(tmp_path))
        else:
            url = f"http://{USER}:{quote(PASSWORD)}@localhost:{proxy.port}"
            agent = start(agents, f"--proxy={ELSEWHERE}:{agents.agents_port}", HTTPS_PROXY=url)
        agent.wait_log("serving as agent")
        carries(agents)
        keeps_quiet(agent, PASSWORD, quote(PASSWORD))
        agent.stop()
        assert [request[0] for request in proxy.passed()] == ["TCP_DENIED/407", "TCP_TUNNEL/200"]
        assert proxy.passed()[-1][1:] == [
            f"{ELSEWHERE if by == 'variable' else 'localhost'}:{agents.agents_port}",
            USER,
        ]


def test_squid_with_ntlm(agents: Installation, tmp_path: Path) -> None:
    with squid(NTLM) as proxy:
        agent = start(agents, f"--outbound-proxy=http://CORP\\alice@localhost:{proxy.port}", password_file(tmp_path))
        agent.wait_log("serving as agent")
        carries(agents)
        agent.stop()
        requests = proxy.passed()
        assert [request[0] for request in requests] == ["TCP_DENIED/407", "TCP_DENIED/407", "TCP_TUNNEL/200"]
        # the helper takes names of two bytes a letter for ended after the first
        assert requests[-1][2].replace("\\", "") == "Ca"


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
@pytest.mark.parametrize("closes", [False, True], ids=["stays", "closes"])
def test_a_login_that_the_proxy_really_checks(agents: Installation, tmp_path: Path, scheme: str, closes: bool) -> None:
    with accounts(tmp_path), LoginProxy(scheme, closes=closes) as proxy:
        url = f"http://{quote(USERS[0])}@localhost:{proxy.port}"
        agent = start(agents, f"--outbound-proxy={url}", password_file(tmp_path))
        agent.wait_log("serving as agent")
        carries(agents)
        keeps_quiet(agent, PASSWORD)
        assert proxy.requests == [f"CONNECT {way(agents)} HTTP/1.1"] * 3
        assert proxy.opened == [way(agents)]


@pytest.mark.parametrize("scheme", ["Basic", "NTLM", "Negotiate"])
def test_a_wrong_password_is_told_once_and_waits(agents: Installation, tmp_path: Path, scheme: str) -> None:
    if scheme == "Basic":
        with squid(BASIC) as proxy:
            refused(agents, tmp_path, f"http://{USER}@localhost:{proxy.port}")
            assert [request[0] for request in proxy.passed()] == ["TCP_DENIED/407"] * 2
        return
    with accounts(tmp_path), LoginProxy(scheme) as login_proxy:
        refused(agents, tmp_path, f"http://{quote(USERS[0])}@localhost:{login_proxy.port}")
        assert len(login_proxy.requests) == 3
        assert login_proxy.opened == []


def refused(agents: Installation, folder: Path, url: str) -> None:
    agent = start(agents, f"--outbound-proxy={url}", password_file(folder, "wrong-secret"))
    agent.wait_log("does not take the user name and password")
    wait = agent.wait_log("dialling again in")
    assert 270 <= float(wait.partition("dialling again in ")[2].split()[0]) <= 330
    keeps_quiet(agent, "wrong-secret")


def test_tinyproxy(agents: Installation, tmp_path: Path) -> None:
    with tinyproxy(tmp_path) as (port, proxy):
        agent = start(agents, f"--outbound-proxy={USER}@127.0.0.1:{port}", password_file(tmp_path, "plain-secret"))
        agent.wait_log("serving as agent")
        carries(agents)
        keeps_quiet(agent, "plain-secret")
        assert any(f"CONNECT {way(agents)}" in line for line in proxy.out + proxy.log)


def test_our_own_socks_port(agents: Installation, tmp_path: Path) -> None:
    """One installation's Agent goes out through the other's Proxy and Agent."""
    with installation(tmp_path) as near:
        copy = near.add_agent("hop")
        near.start_proxy()
        hop = near.start_agent(copy)
        agent = start(agents, f"--outbound-proxy=socks5://127.0.0.1:{near.clients_port}")
        agent.wait_log(f"(through socks5://127.0.0.1:{near.clients_port})")
        carries(agents)
        assert "Scan is started" in hop.messages


@pytest.mark.parametrize(
    ("option", "exceptions", "directly"),
    [("", "", False), ("--outbound-proxy=none", "", True), ("", "example.org, 192.0.2.0/24:443", True)],
)
def test_none_and_no_proxy_go_directly(agents: Installation, option: str, exceptions: str, directly: bool) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    arguments = ["--proxy=192.0.2.1:443", "--handshake=1", *filter(None, [option])]
    agent = start(agents, *arguments, HTTPS_PROXY=dead, NO_PROXY=exceptions)
    agent.wait_log("dialling again in")
    assert any("the outbound proxy" in line for line in agent.log) is not directly


def test_variables_do_not_count_for_this_machine(agents: Installation) -> None:
    agent = start(agents, HTTPS_PROXY=f"http://127.0.0.1:{free_port()}")
    agent.wait_log(f"serving as agent demo at {way(agents)}")


def test_a_dead_outbound_proxy_is_told(agents: Installation) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    agent = start(agents, f"--outbound-proxy={dead}")
    agent.wait_log(f"no connection to the outbound proxy {dead}")
    agent.wait_log("dialling again in")


@pytest.mark.parametrize("status", ["403 Forbidden", "503 Service Unavailable"])
def test_a_refusal_is_told_with_the_proxys_words(agents: Installation, status: str) -> None:
    def refuse(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with Target(refuse) as proxy:
        agent = start(agents, f"--outbound-proxy=127.0.0.1:{proxy.port}")
        agent.wait_log(f"does not connect to {way(agents)}: {status}")


def test_several_addresses_are_tried_in_turn(agents: Installation) -> None:
    """The second answers within the round, long before a wait is over."""
    waits = ("--reconnect-first=300", "--reconnect-largest=300")
    agent = start(agents, f"--proxy=localhost:{free_port()},{way(agents)}", *waits)
    agent.wait_log(f"serving as agent demo at {way(agents)}", seconds=10)
    carries(agents)
    assert agent.messages.count("Connecting to server...") == 2
