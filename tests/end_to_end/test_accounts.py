"""Accounts with the real programs: who may open what, from the login to the end of a stream."""

import socket
import subprocess
from collections.abc import Iterator
from itertools import count

import pytest

from tests.end_to_end.admin import token_in
from tests.end_to_end.network import (
    Login,
    Target,
    echo,
    receive_exactly,
    socks_connect,
    socks_greet,
    socks_open,
    socks_reply,
    socks_request,
    was_reset,
)
from tests.end_to_end.programs import Installation, Program, installation, wait_until


class Guarded:
    """A Proxy that asks for logins, agent a that serves, a scan of it, and Alice, who may use a."""

    def __init__(self, installed: Installation) -> None:
        self.installed = installed
        copy = installed.folder / "a.agent"
        address = f"localhost:{installed.agents_port}"
        added = installed.admin("agent", "add", "a", "--proxy", address, "--out", str(copy))
        installed.add_agent("b")
        self.logins: dict[str, Login] = {
            "agent": ("a", token_in(added)),
            "client": ("alice@a", token_in(installed.admin("client", "add", "alice", "--agents", "a"))),
            "scan": ("a", token_in(installed.admin("scan", "start", "a"))),
        }
        self.proxy: Program = installed.start_proxy("--authentication", "required")
        self.agent: Program = installed.start_agent(copy)
        self.port = installed.clients_port
        self._hosts = count(1)

    def new_client(self, name: str) -> Login:
        """An account that may use a, from the moment that the command has ended."""
        login = (f"{name}@a", token_in(self.installed.admin("client", "add", name, "--agents", "a")))
        assert self.accepts(login)
        return login

    def wait_for(self, login: Login, *, accepted: bool) -> None:
        """Wait until the Proxy heeds a change: a login is accepted now, or no more."""
        wait_until(lambda: self.accepts(login) is accepted, lambda: self.proxy.log)

    def guess(self, login: Login) -> None:
        """Log in from an address without failures, whose answer comes soon; PermissionError where it is refused."""
        socks_greet(self.port, login, source=f"127.0.1.{next(self._hosts)}").close()

    def accepts(self, login: Login) -> bool:
        try:
            self.guess(login)
        except PermissionError:
            return False
        return True


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with installation(tmp_path_factory.mktemp("guarded")) as made:
        yield Guarded(made)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Target(echo) as made:
        yield made


@pytest.mark.parametrize("who", ["agent", "client", "scan"])
def test_a_right_login_opens(guarded: Guarded, target: Target, who: str) -> None:
    with socks_connect(guarded.port, "127.0.0.1", target.port, login=guarded.logins[who]) as client:
        client.sendall(b"may")
        assert receive_exactly(client, 3) == b"may"


def test_c9_wrong_logins_look_alike_and_leave_no_secret_in_the_log(guarded: Guarded, target: Target) -> None:
    accepted = target.accepted
    _, secret = guarded.logins["client"]
    seen = set()
    for user in ("alice@a", "alice@b", "nobody@a", "a", "nobody"):
        for password in ("wrong-password", secret):
            if (user, password) != guarded.logins["client"]:
                with pytest.raises(PermissionError) as refused:
                    guarded.guess((user, password))
                seen.add(str(refused.value))
    assert len(seen) == 1
    guarded.proxy.wait_log("refused rule=login peer=127.0.1.")
    log = "\n".join(guarded.proxy.log)
    assert "wrong-password" not in log
    assert secret not in log
    assert target.accepted == accepted
    # whoever shares the guesser's address is served at once, and so is its right login
    socks_connect(guarded.port, "127.0.0.1", target.port, login=guarded.logins["agent"]).close()


def test_no_login_no_open(guarded: Guarded, target: Target) -> None:
    accepted = target.accepted
    with pytest.raises(PermissionError):
        socks_greet(guarded.port)
    assert target.accepted == accepted


def test_f1_rights_are_judged_at_the_open_not_at_the_login(guarded: Guarded, target: Target) -> None:
    login = guarded.new_client("bob")
    accepted = target.accepted
    with socks_greet(guarded.port, login) as client:
        guarded.installed.admin("client", "agents", "bob", "b")
        guarded.wait_for(login, accepted=False)
        client.sendall(socks_request("127.0.0.1", target.port))
        assert socks_reply(client) == 2
    assert target.accepted == accepted
    guarded.proxy.wait_log("was not tried: client bob may not use agent a")


@pytest.mark.parametrize("how", ["revoke", "renew"])
def test_the_live_streams_of_a_client_end_with_its_token(guarded: Guarded, target: Target, how: str) -> None:
    login = guarded.new_client(f"carol-{how}")
    other = socks_connect(guarded.port, "127.0.0.1", target.port, login=guarded.logins["client"])
    with other, socks_connect(guarded.port, "127.0.0.1", target.port, login=login) as client:
        client.sendall(b"live")
        assert receive_exactly(client, 4) == b"live"
        guarded.installed.admin("client", how, f"carol-{how}")
        assert was_reset(client)
        other.sendall(b"goes on")
        assert receive_exactly(other, 7) == b"goes on"
    assert not guarded.accepts(login)


def test_the_live_streams_of_a_scan_end_when_it_is_stopped(guarded: Guarded, target: Target) -> None:
    started = guarded.installed.admin("scan", "start", "a")
    login = ("a", token_in(started))
    guarded.wait_for(login, accepted=True)
    with socks_connect(guarded.port, "127.0.0.1", target.port, login=login) as client:
        guarded.installed.admin("scan", "stop", started.split()[1])
        assert was_reset(client)
    assert not guarded.accepts(login)


def test_an_account_narrowed_to_networks_reaches_no_other(guarded: Guarded, target: Target) -> None:
    secret = token_in(guarded.installed.admin("client", "add", "dave", "--agents", "a", "--allow", "192.0.2.0/24"))
    login = ("dave@a", secret)
    guarded.wait_for(login, accepted=True)
    accepted = target.accepted
    for host in ("127.0.0.1", "localhost"):
        reply, client = socks_open(guarded.port, host, target.port, login=login)
        client.close()
        assert reply == 2
    assert target.accepted == accepted


def page(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\ninside")


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "-sS", "--noproxy", "", "--max-time", "30", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("proxy", ["socks5h", "http"])
@pytest.mark.parametrize("who", ["agent", "client"])
def test_curl_logs_in(guarded: Guarded, proxy: str, who: str) -> None:
    user, password = guarded.logins[who]
    way = ["--proxytunnel", "--proxy", f"{proxy}://127.0.0.1:{guarded.port}"]
    with Target(page) as served:
        url = f"http://127.0.0.1:{served.port}/"
        right = curl(*way, "--proxy-user", f"{user}:{password}", url)
        assert (right.returncode, right.stdout) == (0, "inside"), right.stderr
        wrong = curl(*way, "--proxy-user", f"{user}:{password}x", url)
        assert wrong.returncode != 0
        assert served.accepted == 1
