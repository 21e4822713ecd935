"""SOCKS5 as the tools speak it: curl, PySocks, ncat, nmap behind proxychains; names resolved at the Agent."""

import http.server
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import socks  # type: ignore[import-untyped]

from tests.end_to_end.namespaces import Network
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, installation
from tests.end_to_end.scanner import hundred_ports

PAGE = b"a small page\n"
HOSTS = """
127.0.0.1 localhost
2001:db8:1::7 half.test
192.0.2.2 half.test
2001:db8::2 both.test
192.0.2.2 both.test
"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class ServerOverIPv6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@pytest.fixture(scope="module")
def web_port() -> Iterator[int]:
    """A web page on both loopback addresses, at one port."""
    four = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    six = ServerOverIPv6(("::1", four.server_port), Page)
    for server in (four, six):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield four.server_port
    for server in (four, six):
        server.shutdown()
        server.server_close()


def needs(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"needs {tool}")
    return path


def run(*command: str, seconds: float = 60, said: bytes = b"") -> str:
    ran = subprocess.run(command, input=said, capture_output=True, timeout=seconds)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("option", ["--socks5", "--socks5-hostname"])
def test_curl(serving: Installation, web_port: int, option: str, host: str) -> None:
    proxy = f"127.0.0.1:{serving.clients_port}"
    assert run(needs("curl"), "-sS", option, proxy, f"http://{host}:{web_port}/") == PAGE.decode()


def test_curl_tells_a_refused_port(serving: Installation) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        command = [needs("curl"), "-sS", "--socks5", f"127.0.0.1:{serving.clients_port}", url]
        ran = subprocess.run(command, capture_output=True, timeout=60, text=True)
    # CURLE_PROXY; the message holds the SOCKS reply
    assert ran.returncode == 97
    assert "(5)" in ran.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_pysocks(serving: Installation, host: str) -> None:
    with Target(echo) as four, Target(echo, "::1", four.port), socks.socksocket() as client:
        client.set_proxy(socks.SOCKS5, "127.0.0.1", serving.clients_port, rdns=True)
        client.settimeout(30)
        client.connect((host, four.port))
        client.sendall(b"by PySocks")
        assert receive_exactly(client, 10) == b"by PySocks"


def test_pysocks_tells_a_refused_port(serving: Installation) -> None:
    with socket.socket() as closed, socks.socksocket() as client:
        closed.bind(("127.0.0.1", 0))
        client.set_proxy(socks.SOCKS5, "127.0.0.1", serving.clients_port)
        client.settimeout(30)
        with pytest.raises(socks.ProxyError, match="0x05: Connection refused"):
            client.connect(closed.getsockname())


def test_ncat(serving: Installation) -> None:
    proxy = f"127.0.0.1:{serving.clients_port}"
    with Target(lambda connection: connection.sendall(connection.recv(100).upper())) as target:
        command = [needs("ncat"), "--proxy-type", "socks5", "--proxy-dns", "remote", "--proxy", proxy]
        assert run(*command, "localhost", str(target.port), said=b"by ncat\n") == "BY NCAT\n"


@pytest.fixture(scope="module")
def names(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Programs in a network where two names have addresses of both families; those of ``half.test`` answer in part."""
    folder = tmp_path_factory.mktemp("names")
    network.near.bind_file(HOSTS, "/etc/hosts", folder)
    with installation(folder, network.near.prefix) as made:
        copy = made.add_agent("demo")
        made.start_proxy("--connect-timeout", "5")
        made.start_agent(copy, allow=())
        yield made


@pytest.mark.parametrize(
    ("name", "host"), [("both.test", "192.0.2.2"), ("both.test", "2001:db8::2"), ("half.test", "192.0.2.2")]
)
def test_a_name_is_reached_by_the_family_that_serves(
    names: Installation, network: Network, name: str, host: str
) -> None:
    """Packets to the IPv6 address of half.test vanish: the next is tried a moment later, not after the time-out."""
    with network.far.inside():
        target = Target(echo, host)
    with network.near.inside(), target, socks_connect(names.clients_port, name, target.port) as client:
        client.sendall(b"found")
        assert receive_exactly(client, 5) == b"found"


def test_nmap_behind_proxychains_finds_the_three_open_ports(serving: Installation, tmp_path: Path) -> None:
    proxychains, nmap = needs("proxychains4"), needs("nmap")
    configuration = tmp_path / "proxychains.conf"
    configuration.write_text(f"strict_chain\n[ProxyList]\nsocks5 127.0.0.1 {serving.clients_port}\n")
    with hundred_ports() as (opened, closed):
        ports = ",".join(map(str, opened + closed))
        scan = ["-sT", "-Pn", "-n", "-T4", "--max-retries", "0", "-p", ports, "-oG", "-", "127.0.0.1"]
        found = run(proxychains, "-q", "-f", str(configuration), nmap, *scan, seconds=110)
    assert [int(port) for port in re.findall(r"(\d+)/open/tcp", found)] == sorted(opened), found
    assert "Ignored State: closed (97)" in found
