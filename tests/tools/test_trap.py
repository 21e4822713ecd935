"""The trap catches what it must: without these, the other tests here would pass for a tool that leaks."""

import pytest

from tests.end_to_end.network import Target, echo
from tests.tools.pages import TEXT
from tests.tools.site import HOST, HOST6, WEB, Site


def told(site: Site, *command: object, code: int | None = None) -> set[tuple[str, str, int]]:
    """Transport, host and port of what leaked while a command ran."""
    with site.trap() as trap:
        site.run(*command, code=code)
        return {(packet.transport, packet.host, packet.port) for packet in trap.leaks()}


@pytest.mark.uses("curl")
def test_a_local_name_look_up_is_caught(site: Site, web_port: int) -> None:
    leaked = told(site, "curl", "-sS", "--socks5", site.proxy, f"http://{WEB}:{web_port}/", code=97)
    assert leaked == {("udp", "198.51.100.53", 53)}


@pytest.mark.uses("nmap")
def test_nmap_with_proxies_is_caught(site: Site, web_port: int) -> None:
    """Its ``--proxies`` serves scripts and version detection only: the ports themselves are tried without."""
    scan = ("nmap", "-sT", "-Pn", "-n", "--max-retries", "0", "--proxies", f"socks4://{site.proxy}", "-p", web_port)
    assert ("tcp", HOST, web_port) in told(site, *scan, HOST)


@pytest.mark.uses("curl")
@pytest.mark.parametrize(("url", "host"), [(f"http://{HOST}:81/", HOST), (f"http://[{HOST6}]:81/", HOST6)])
def test_a_direct_connection_is_caught_and_leads_nowhere(site: Site, url: str, host: str) -> None:
    """So a Target that was reached was reached through the Proxy."""
    with site.inside.inside():
        target = Target(echo, "::" if ":" in host else "0.0.0.0", 81)
    with target:
        assert told(site, "curl", "-sS", "--max-time", "0.5", url) == {("tcp", host, 81)}
        assert target.accepted == 0


def test_what_goes_over_loopback_is_caught(site: Site) -> None:
    """A resolver on the tool's own machine would ask further in its place."""
    source = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'?', ('127.0.0.53', 53))"
    with site.trap() as trap:
        site.python(source)
        assert ("udp", "127.0.0.53", 53) in {(packet.transport, packet.host, packet.port) for packet in trap.leaks()}


@pytest.mark.uses("curl")
def test_what_goes_through_the_proxy_is_none(site: Site, web_port: int) -> None:
    with site.trap() as trap:
        assert site.run("curl", "-sS", "--socks5", site.proxy, f"http://{HOST}:{web_port}/") == TEXT
        assert trap.leaks() == []
