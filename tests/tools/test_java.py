"""Java's own SOCKS (``-DsocksProxyHost``), which Burp and other Java programs use."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, HOST6, WEB, Site

pytestmark = pytest.mark.uses("Java")

SOURCE = Path(__file__).with_name("Fetch.java")


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("java")
    subprocess.run(["javac", "-d", str(folder), str(SOURCE)], check=True)
    return folder


def fetch(site: Site, classes: Path, *words: object, code: int = 0) -> str:
    proxy = ("-DsocksProxyHost=127.0.0.1", f"-DsocksProxyPort={site.port}")
    return site.run("java", "-XX:TieredStopAtLevel=1", "-cp", classes, *proxy, "Fetch", *words, code=code)


def test_a_url(sealed: Site, classes: Path, web_port: int) -> None:
    assert fetch(sealed, classes, "url", f"http://{HOST}:{web_port}/") == TEXT


@pytest.mark.parametrize("host", [HOST6, WEB])
def test_a_socket_to_an_unresolved_address(sealed: Site, classes: Path, web_port: int, host: str) -> None:
    assert fetch(sealed, classes, "unresolved", host, web_port).endswith(TEXT)


@pytest.mark.parametrize("way", ["url", "resolved"])
def test_a_name_is_looked_up_on_its_own_machine_first(site: Site, classes: Path, web_port: int, way: str) -> None:
    """As docs/tools.md says. The name goes to the Agent only where that look-up has failed."""
    words = [f"http://{WEB}:{web_port}/"] if way == "url" else [WEB, web_port]
    with site.trap() as trap:
        assert fetch(site, classes, way, *words).endswith(TEXT)
        assert {(packet.transport, packet.port) for packet in trap.leaks()} == {("udp", 53)}


def test_a_refused_port_is_told(sealed: Site, classes: Path) -> None:
    with sealed.inside.inside(), socket.socket() as closed:
        closed.bind((HOST, 0))
        told = fetch(sealed, classes, "unresolved", HOST, closed.getsockname()[1], code=1)
    assert "Connection refused" in told
