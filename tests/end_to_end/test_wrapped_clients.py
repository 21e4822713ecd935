"""Clients behind a layer: TLS by an ``ssl:`` endpoint, and a PROXY header (v1, v2) by a ``haproxy:`` one."""

import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator

import pytest

from tests.end_to_end.network import (
    PATIENCE_SECONDS,
    Target,
    echo,
    receive_exactly,
    reset,
    socks_request,
    was_reset,
)
from tests.end_to_end.programs import Installation, free_port, installation, wait_until
from tests.end_to_end.web import certificate, curl, fetched, needs_curl, web_server

BULK = bytes(range(256)) * 20_000
HAPROXY = shutil.which("haproxy")


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with web_server() as address:
        yield address


def serve_on(made: Installation, endpoint: str) -> Installation:
    copy = made.add_agent("demo")
    made.start_proxy("--clients", endpoint)
    made.start_agent(copy)
    return made


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("tls")) as made:
        pem = certificate(made.folder)
        yield serve_on(made, f"ssl:{made.clients_port}:interface=127.0.0.1:privateKey={pem}")


@pytest.fixture(scope="module")
def behind_balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("haproxy")) as made:
        yield serve_on(made, f"haproxy:tcp:{made.clients_port}:interface=127.0.0.1")


def ask(client: socket.socket, port: int) -> None:
    """Open a connection to a Target by SOCKS5."""
    client.sendall(b"\x05\x01\x00")
    assert receive_exactly(client, 2) == b"\x05\x00"
    client.sendall(socks_request("127.0.0.1", port))
    assert receive_exactly(client, 10)[:2] == b"\x05\x00"


# -- TLS --


def tls_client(installed: Installation) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(installed.folder / "clients.pem"))
    context.check_hostname = False
    plain = socket.create_connection(("127.0.0.1", installed.clients_port), PATIENCE_SECONDS)
    return context.wrap_socket(plain, suppress_ragged_eofs=False)


def tls_connect(installed: Installation, port: int) -> ssl.SSLSocket:
    client = tls_client(installed)
    ask(client, port)
    return client


@needs_curl
@pytest.mark.parametrize("tunnel", [[], ["--proxytunnel"]], ids=["plain", "CONNECT"])
def test_an_https_proxy(over_tls: Installation, web: str, tunnel: list[str]) -> None:
    proxy = ["--proxy", f"https://127.0.0.1:{over_tls.clients_port}", "--proxy-insecure", *tunnel]
    body = "y" * 300_000
    assert fetched(*proxy, "--data-binary", "@-", f"http://{web}/", text=body.encode())["body"] == body


@needs_curl
def test_an_error_page_over_tls_is_whole(over_tls: Installation) -> None:
    proxy = ["--proxy", f"https://127.0.0.1:{over_tls.clients_port}", "--proxy-insecure"]
    done = curl(*proxy, f"http://127.0.0.1:{free_port()}/")
    assert (done.returncode, b"refused the connection" in done.stdout) == (0, True)


def test_bulk_both_ways_over_tls(over_tls: Installation) -> None:
    """More than every buffer on the way, so that each side has to wait for the other."""
    with Target(echo) as target, tls_connect(over_tls, target.port) as client:
        sent = received = 0
        back = bytearray()
        client.settimeout(PATIENCE_SECONDS)
        while received < len(BULK):
            if sent < len(BULK):
                sent += client.send(BULK[sent : sent + 65536])
            back += client.recv(65536)
            received = len(back)
        assert back == BULK


def test_the_targets_fin_is_close_notify_and_the_client_may_go_on(over_tls: Installation) -> None:
    heard: list[bytes] = []

    def says_goodbye(connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        heard.append(b"".join(iter(lambda: connection.recv(65536), b"")))

    with Target(says_goodbye) as target:
        client = tls_connect(over_tls, target.port)
        # an end without close_notify raises here
        assert b"".join(iter(lambda: client.recv(65536), b"")) == b"bye"
        client.sendall(b"late word")
        client.unwrap().close()
        wait_until(lambda: bool(heard), lambda: heard)
        assert heard == [b"late word"]


def test_the_clients_close_notify_is_a_fin_for_the_target(over_tls: Installation) -> None:
    heard: list[bytes] = []

    def listens(connection: socket.socket) -> None:
        heard.append(b"".join(iter(lambda: connection.recv(65536), b"")))

    with Target(listens) as target:
        client = tls_connect(over_tls, target.port)
        client.sendall(BULK)
        client.unwrap().close()
        wait_until(lambda: bool(heard), lambda: heard)
        assert heard == [BULK]


@pytest.mark.parametrize("end", ["reset", "fin"])
def test_an_end_without_close_notify_is_a_reset_for_the_target(over_tls: Installation, end: str) -> None:
    ends: list[bool] = []
    with Target(lambda connection: ends.append(was_reset(connection))) as target:
        client = tls_connect(over_tls, target.port)
        if end == "reset":
            reset(client)
        else:
            client.shutdown(socket.SHUT_RDWR)
            client.close()
        wait_until(lambda: bool(ends), lambda: ends)
        assert ends == [True]


def test_the_targets_reset_is_no_close_notify(over_tls: Installation) -> None:
    def resets(connection: socket.socket) -> None:
        connection.sendall(b"some")
        connection.recv(1)
        reset(connection)

    with Target(resets) as target, tls_connect(over_tls, target.port) as client:
        assert receive_exactly(client, 4) == b"some"
        client.sendall(b"x")
        with pytest.raises(OSError):
            client.recv(1)


def test_a_killed_agent_is_no_close_notify(tmp_path_factory: pytest.TempPathFactory) -> None:
    with installation(tmp_path_factory.mktemp("killed")) as made, Target(echo) as target:
        pem = certificate(made.folder)
        serve_on(made, f"ssl:{made.clients_port}:interface=127.0.0.1:privateKey={pem}")
        with tls_connect(made, target.port) as client:
            made.programs[-1].kill()
            with pytest.raises(OSError):
                client.recv(1)


def test_a_client_that_never_answers_close_notify_is_closed(over_tls: Installation) -> None:
    client = tls_client(over_tls)
    client.sendall(b"\x05\x01\x01")
    assert client.recv(2) == b"\x05\xff"
    assert client.recv(1) == b""
    # the TCP connection below ends too, within a moment, though our side of TLS stays open
    raw = socket.socket(fileno=client.detach())
    with raw:
        raw.settimeout(PATIENCE_SECONDS)
        assert raw.recv(1) == b""


def test_plain_bytes_on_a_tls_port_are_named(over_tls: Installation) -> None:
    assert over_tls.proxy is not None
    with socket.create_connection(("127.0.0.1", over_tls.clients_port), PATIENCE_SECONDS) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(65536)
    assert "TLS failed: http request" in over_tls.proxy.wait_log("rule=client-tls")


# -- PROXY header --

V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 4444 1080\r\n"
V2 = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
    + struct.pack("!H", 12)
    + socket.inet_aton("203.0.113.8")
    + socket.inet_aton("198.51.100.1")
    + struct.pack("!HH", 5555, 1080)
)


def behind(installed: Installation, header: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", installed.clients_port), PATIENCE_SECONDS)
    client.sendall(header)
    return client


@pytest.mark.parametrize(("header", "peer"), [(V1, "203.0.113.7:4444"), (V2, "203.0.113.8:5555")], ids=["v1", "v2"])
def test_the_log_names_the_client_of_the_header(behind_balancer: Installation, header: bytes, peer: str) -> None:
    assert behind_balancer.proxy is not None
    with behind(behind_balancer, header + b"\x05\x01\x01") as client:
        assert receive_exactly(client, 2) == b"\x05\xff"
    assert "rule=socks-method" in behind_balancer.proxy.wait_log(f"peer={peer}")


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_half_close_and_bulk_behind_a_header(behind_balancer: Installation, header: bytes) -> None:
    def after_the_end(connection: socket.socket) -> None:
        connection.sendall(b"".join(iter(lambda: connection.recv(65536), b"")))

    with Target(after_the_end) as target, behind(behind_balancer, header) as client:
        ask(client, target.port)
        client.sendall(BULK)
        client.shutdown(socket.SHUT_WR)
        assert receive_exactly(client, len(BULK)) == BULK
        assert client.recv(1) == b""


def test_a_reset_passes_behind_a_header(behind_balancer: Installation) -> None:
    ends: list[bool] = []
    with Target(lambda connection: ends.append(was_reset(connection))) as target:
        client = behind(behind_balancer, V1)
        ask(client, target.port)
        reset(client)
        wait_until(lambda: bool(ends), lambda: ends)
        assert ends == [True]


@needs_curl
def test_curls_own_header(behind_balancer: Installation) -> None:
    page = curl("--haproxy-protocol", f"http://127.0.0.1:{behind_balancer.clients_port}/").stdout
    assert b"This is a proxy, not a web site" in page


def test_a_client_without_the_header_is_closed_and_named(behind_balancer: Installation) -> None:
    assert behind_balancer.proxy is not None
    with behind(behind_balancer, b"\x05\x01\x00") as client:
        assert client.recv(1) == b""
    assert "does not begin with the PROXY header" in behind_balancer.proxy.wait_log("rule=client-proxy-header")


@pytest.mark.parametrize(
    "header",
    [b"PROXY TCP4 192.0.2.9 192.0.2.1 many 2\r\n", b"PROXY TCP4 \xff\xfe 192.0.2.1 1 2\r\n"],
    ids=["a port that is none", "an address that is no text"],
)
def test_j3_a_broken_header_is_one_line_in_the_log(behind_balancer: Installation, header: bytes) -> None:
    assert behind_balancer.proxy is not None
    with behind(behind_balancer, header + b"\x05\x01\x00") as client:
        assert client.recv(1) == b""
    behind_balancer.proxy.wait_log("rule=client-proxy-header")
    assert "Traceback" not in "\n".join(behind_balancer.proxy.log)


def test_c6_what_a_header_calls_an_address_is_escaped(behind_balancer: Installation) -> None:
    assert behind_balancer.proxy is not None
    with behind(behind_balancer, b"PROXY TCP4 \x1b[31m 192.0.2.1 1 2\r\n\x00") as client:
        assert client.recv(1) == b""
    assert "\\x1b[31m:1" in behind_balancer.proxy.wait_log("peer=\\")
    assert "\x1b" not in "\n".join(behind_balancer.proxy.log)


@needs_curl
@pytest.mark.skipif(HAPROXY is None, reason="haproxy is missing")
@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_behind_haproxy_itself(behind_balancer: Installation, web: str, version: str) -> None:
    port = free_port()
    configuration = behind_balancer.folder / "haproxy.cfg"
    configuration.write_text(
        "defaults\n mode tcp\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n"
        f"listen clients\n bind 127.0.0.1:{port}\n server proxy 127.0.0.1:{behind_balancer.clients_port} {version}\n"
    )
    balancer = subprocess.Popen([str(HAPROXY), "-db", "-f", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), lambda: "haproxy does not listen")
        body = "z" * 300_000
        for way in (["--proxy", f"http://127.0.0.1:{port}"], ["--socks5", f"127.0.0.1:{port}"]):
            assert fetched(*way, "--data-binary", "@-", f"http://{web}/", text=body.encode())["body"] == body
    finally:
        balancer.kill()
        balancer.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
