"""HTTP clients of the Proxy: curl and raw sockets, with CONNECT and with plain requests (rows C6, C7, C8, C9, G3)."""

import base64
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from socksfusion import limits
from tests.end_to_end.network import PATIENCE_SECONDS, Target, echo, receive_exactly, socks_ask
from tests.end_to_end.programs import Installation, free_port, installation
from tests.end_to_end.web import curl, fetched, needs_curl, web_server
from tests.wire.http_corpus import BROKEN

TOKEN = re.compile(r"token: (\S{32,})")


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with web_server() as address:
        yield address


def proxy_of(installed: Installation) -> str:
    return f"http://127.0.0.1:{installed.clients_port}"


def send(port: int, data: bytes) -> bytes:
    """Send all, and read to the end."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass  # a refusal needn't wait for all of it
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


# -- curl --


@needs_curl
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(["--proxy", "http://{0}"], id="plain"),
        pytest.param(["--proxy", "http://{0}", "--proxytunnel"], id="CONNECT"),
        pytest.param(["--proxy", "http://{0}", "--proxy1.0", "{0}", "--proxytunnel"], id="CONNECT of HTTP 1.0"),
        pytest.param(["--socks4", "{0}"], id="SOCKS4"),
        pytest.param(["--socks4a", "{0}"], id="SOCKS4a"),
        pytest.param(["--socks5", "{0}"], id="SOCKS5"),
        pytest.param(["--socks5-hostname", "{0}"], id="SOCKS5 with names"),
    ],
)
def test_every_way_in_on_one_port(serving: Installation, web: str, way: list[str]) -> None:
    options = [part.format(f"127.0.0.1:{serving.clients_port}") for part in way]
    host, port = web.split(":")
    assert fetched(*options, f"http://{host}:{port}/x?y")["line"] == "GET /x?y HTTP/1.1"


@needs_curl
@pytest.mark.parametrize("path", ["/", "/chunked", "/to-the-end"])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_plain_replies_of_every_framing(serving: Installation, web: str, path: str, version: str) -> None:
    seen = fetched("--proxy", proxy_of(serving), version, f"http://{web}{path}")
    assert seen["line"] == f"GET {path} HTTP/1.1"


@needs_curl
def test_plain_bodies_of_every_framing(serving: Installation, web: str) -> None:
    proxied = ["--proxy", proxy_of(serving), f"http://{web}/"]
    body = "x" * 300_000
    for options in (
        ["--data-binary", "@-"],
        ["--data-binary", "@-", "--header", "Expect: 100-continue"],
        ["--data-binary", "@-", "--header", "Transfer-Encoding: chunked"],
        ["--data-binary", "@-", "--http1.0"],
        ["--upload-file", "-"],
    ):
        assert fetched(*options, *proxied, text=body.encode())["body"] == body


@needs_curl
def test_head_and_204_have_no_body(serving: Installation, web: str) -> None:
    proxied = ["--proxy", proxy_of(serving), "--fail", "--write-out", "%{http_code} %{size_download}"]
    assert curl(*proxied, "--head", "--output", "/dev/null", f"http://{web}/").stdout.split()[0] == b"200"
    assert curl(*proxied, f"http://{web}/204").stdout == b"204 0"


@needs_curl
def test_a_reply_that_is_cut_is_seen_as_cut(serving: Installation, web: str) -> None:
    assert curl("--proxy", proxy_of(serving), f"http://{web}/cut").returncode == 56


@needs_curl
def test_c8_the_target_never_sees_what_is_for_the_proxy(serving: Installation, web: str) -> None:
    seen = fetched(
        "--proxy", proxy_of(serving), "--proxy-user", "demo:", "--user", "own:secret", f"http://{web}/",
        "--header", "Proxy-Connection: keep-alive",
    )  # fmt: skip
    names = {name.lower() for name, _ in seen["headers"]}  # type: ignore[attr-defined]
    assert "authorization" in names
    assert not any(name.startswith("proxy-") for name in names)


@needs_curl
def test_a_closed_port_is_told_in_words(serving: Installation) -> None:
    closed = f"127.0.0.1:{free_port()}"
    page = curl("--proxy", proxy_of(serving), "--write-out", "%{http_code}", f"http://{closed}/").stdout.decode()
    assert page.endswith("\n502")
    assert f"{closed} refused the connection: the port is closed" in page
    tunnel = curl("--proxy", proxy_of(serving), "--proxytunnel", "--verbose", f"http://{closed}/")
    assert b"error=connection_refused" in tunnel.stderr


@needs_curl
def test_a_browser_that_comes_by_mistake_reads_what_this_is(serving: Installation) -> None:
    page = curl(f"http://127.0.0.1:{serving.clients_port}/").stdout
    assert b"This is a proxy, not a web site" in page


def test_a_denied_target_is_403(serving: Installation) -> None:
    answer = send(serving.clients_port, b"CONNECT 169.254.169.254:80 HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")


# -- raw --


@pytest.mark.parametrize("name", BROKEN)
def test_c7_one_reply_a_socket_and_nothing_reaches_a_target(serving: Installation, name: str) -> None:
    data, status = BROKEN[name]
    with Target(echo) as target:
        second = b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % target.port
        received = send(serving.clients_port, data + second)
        assert received.startswith(b"HTTP/1.1 %d " % status)
        assert received.count(b"HTTP/1.1 ") == 1
        assert target.accepted == 0


def test_g3_a_pipeline_gets_the_first_reply_and_then_the_end(serving: Installation, web: str) -> None:
    requests = b"".join(
        b"GET http://%s/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (web.encode(), number) for number in range(10)
    )
    received = send(serving.clients_port, requests)
    assert received.count(b"HTTP/1.1 200") == 1
    assert b"GET /0 HTTP/1.1" in received


def test_a_tunnel_carries_both_ways_and_half_closes(serving: Installation) -> None:
    def after_the_end(connection: socket.socket) -> None:
        received = b"".join(iter(lambda: connection.recv(65536), b""))
        connection.sendall(received[::-1])

    with (
        Target(after_the_end) as target,
        socket.create_connection(("127.0.0.1", serving.clients_port), PATIENCE_SECONDS) as client,
    ):
        # data behind the head is sent before the reply
        client.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\nearly " % target.port)
        reply = b"HTTP/1.1 200 Connection established\r\n\r\n"
        assert receive_exactly(client, len(reply)) == reply
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        assert receive_exactly(client, 10) == b"etal ylrae"
        assert client.recv(1) == b""


# -- accounts --


class Guarded:
    """A Proxy that wants logins, with an agent and a client's account."""

    def __init__(self, installed: Installation) -> None:
        self.installed = installed
        copy = installed.add_agent("demo")
        (self.token,) = TOKEN.findall(installed.admin("client", "add", "alice", "--agents", "demo"))
        installed.start_proxy("--authentication", "required")
        installed.start_agent(copy)
        self.proxy = f"127.0.0.1:{installed.clients_port}"

    @property
    def login(self) -> str:
        return f"alice@demo:{self.token}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with installation(tmp_path_factory.mktemp("guarded")) as made:
        yield Guarded(made)


@needs_curl
@pytest.mark.parametrize("kind", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("tunnel", [[], ["--proxytunnel"]], ids=["plain", "tunnel"])
def test_one_account_for_every_way_in(guarded: Guarded, web: str, kind: str, tunnel: list[str]) -> None:
    seen = fetched("--proxy", f"{kind}://{guarded.proxy}", "--proxy-user", guarded.login, *tunnel, f"http://{web}/")
    assert guarded.token not in str(seen)
    assert base64.b64encode(guarded.login.encode()).decode() not in str(seen)


@needs_curl
def test_without_a_login_nothing_is_opened(guarded: Guarded, web: str) -> None:
    http = curl("--proxy", f"http://{guarded.proxy}", "--write-out", "%{http_code}", f"http://{web}/").stdout
    assert http.endswith(b"407")
    assert b"log in with the user name AGENT or CLIENT@AGENT" in http
    assert curl("--socks5", guarded.proxy, f"http://{web}/").returncode == 97
    assert curl("--socks4a", guarded.proxy, f"http://{web}/").returncode == 97


@needs_curl
def test_a_client_that_logs_in_only_when_asked_is_served(guarded: Guarded, web: str) -> None:
    assert fetched(
        "--proxy", f"http://{guarded.proxy}", "--proxy-anyauth", "--proxy-user", guarded.login, f"http://{web}/"
    )["line"]


@needs_curl
def test_c9_wrong_logins_are_delayed_and_no_password_is_logged(guarded: Guarded, web: str) -> None:
    wrong = "alice@demo:Open-Sesame-1234567890"
    took = []
    for kind in ("http", "socks5"):
        began = time.monotonic()
        done = curl("--proxy", f"{kind}://{guarded.proxy}", "--proxy-user", wrong, "--fail", f"http://{web}/")
        took.append(time.monotonic() - began)
        assert done.returncode in (22, 97)
    # whoever failed before from this address makes it longer
    assert took[0] >= limits.LOGIN_DELAY_SECONDS
    assert took[1] >= 2 * limits.LOGIN_DELAY_SECONDS
    both = base64.b64encode(wrong.encode()).decode(), base64.b64encode(guarded.login.encode()).decode()
    send(
        guarded.installed.clients_port,
        b"GET http://x/ HTTP/1.1\r\nProxy-Authorization : Basic %s\r\n\r\n" % both[0].encode(),
    )
    assert guarded.installed.proxy is not None
    guarded.installed.proxy.wait_log("rule=login")
    guarded.installed.proxy.wait_log("rule=http-head")
    log = "\n".join(line for program in guarded.installed.programs for line in program.log + program.out)
    for secret in ("Open-Sesame", guarded.token, *both):
        assert secret not in log


def test_a_tls_client_on_a_plain_port_is_named(serving: Installation) -> None:
    assert serving.proxy is not None
    since = len(serving.proxy.log)
    assert send(serving.clients_port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20)) == b""
    assert "this port has no TLS" in serving.proxy.wait_log("rule=client-tls", since=since)


def test_socks5_goes_on_as_before(serving: Installation) -> None:
    with Target(echo) as target, socks_ask(serving.clients_port, "127.0.0.1", target.port) as client:
        assert receive_exactly(client, 10)[:2] == b"\x05\x00"


def test_the_state_folder_holds_no_token(guarded: Guarded) -> None:
    for path in Path(guarded.installed.state).rglob("*"):
        if path.is_file():
            assert guarded.token.encode() not in path.read_bytes()
