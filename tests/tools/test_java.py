"""Java's own SOCKS (``-DsocksProxyHost``), which Burp and other Java programs use."""

from pathlib import Path

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, HOST6, WEB, Site

pytestmark = pytest.mark.uses("Java")


def fetch(site: Site, java_classes: Path, *words: object, code: int = 0) -> str:
    proxy = ("-DsocksProxyHost=127.0.0.1", f"-DsocksProxyPort={site.port}")
    return site.run("java", "-XX:TieredStopAtLevel=1", "-cp", java_classes, *proxy, "Fetch", *words, code=code)


def test_a_url(sealed: Site, java_classes: Path, web_port: int) -> None:
    assert fetch(sealed, java_classes, "url", f"http://{HOST}:{web_port}/") == TEXT


@pytest.mark.parametrize("host", [HOST6, WEB])
def test_a_socket_to_an_unresolved_address(sealed: Site, java_classes: Path, web_port: int, host: str) -> None:
    assert fetch(sealed, java_classes, "unresolved", host, web_port).endswith(TEXT)


@pytest.mark.parametrize("way", ["url", "resolved"])
def test_a_name_is_looked_up_on_its_own_machine_first(site: Site, java_classes: Path, web_port: int, way: str) -> None:
    """As docs/tools.md says. The name goes to the Agent only where that look-up has failed."""
    words = [f"http://{WEB}:{web_port}/"] if way == "url" else [WEB, web_port]
    with site.trap() as trap:
        assert fetch(site, java_classes, way, *words).endswith(TEXT)
        assert {(packet.transport, packet.port) for packet in trap.leaks()} == {("udp", 53)}


def test_a_refused_port_is_told(sealed: Site, java_classes: Path, closed_port: int) -> None:
    assert "Connection refused" in fetch(sealed, java_classes, "unresolved", HOST, closed_port, code=1)


def test_a_datagram_goes_beside_the_proxy(site: Site, java_classes: Path) -> None:
    with site.trap() as trap:
        fetch(site, java_classes, "datagram", HOST, 53)
        assert [(packet.transport, packet.host, packet.port) for packet in trap.leaks()] == [("udp", HOST, 53)]
