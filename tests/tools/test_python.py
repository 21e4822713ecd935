"""Python's ways to SOCKS5: PySocks, requests and httpx, each in a process of its own."""

import socket

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, HOST6, WEB, Site

PYSOCKS = """
import socks, sys
client = socks.socksocket()
client.set_proxy(socks.SOCKS5, "127.0.0.1", int(sys.argv[1]), rdns=True)
client.settimeout(30)
try:
    client.connect((sys.argv[2], int(sys.argv[3])))
except socks.ProxyError as error:
    sys.exit(str(error))
client.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(client.makefile().read().partition("\\n\\n")[2], end="")
"""
REQUESTS = """
import requests, sys
proxies = {"http": sys.argv[1]}
print(requests.get(sys.argv[2], proxies=proxies, timeout=60).text, end="")
"""
HTTPX = """
import httpx, sys
with httpx.Client(proxy=sys.argv[1], timeout=60) as client:
    print(client.get(sys.argv[2]).text, end="")
"""


@pytest.mark.uses("PySocks")
@pytest.mark.parametrize("host", [HOST, HOST6, WEB])
def test_pysocks(sealed: Site, web_port: int, host: str) -> None:
    assert sealed.python(PYSOCKS, sealed.port, host, web_port) == TEXT


@pytest.mark.uses("PySocks")
def test_pysocks_tells_a_refused_port(sealed: Site) -> None:
    with sealed.inside.inside(), socket.socket() as closed:
        closed.bind((HOST, 0))
        told = sealed.python(PYSOCKS, sealed.port, HOST, closed.getsockname()[1], code=1)
    assert "0x05: Connection refused" in told


@pytest.mark.uses("requests", "PySocks")
@pytest.mark.parametrize("host", [HOST, WEB])
def test_requests(sealed: Site, web_port: int, host: str) -> None:
    assert sealed.python(REQUESTS, f"socks5h://{sealed.proxy}", f"http://{host}:{web_port}/") == TEXT


@pytest.mark.uses("requests", "PySocks")
def test_requests_leaks_a_name_without_the_h(site: Site, web_port: int) -> None:
    """As docs/tools.md says: ``socks5://`` looks names up on its own machine."""
    with site.trap() as trap:
        site.python(REQUESTS, f"socks5://{site.proxy}", f"http://{WEB}:{web_port}/", code=1)
        assert {(packet.transport, packet.port) for packet in trap.leaks()} == {("udp", 53)}


@pytest.mark.uses("httpx")
@pytest.mark.parametrize("host", [HOST, WEB])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_httpx(sealed: Site, web_port: int, scheme: str, host: str) -> None:
    assert sealed.python(HTTPX, f"{scheme}://{sealed.proxy}", f"http://{host}:{web_port}/") == TEXT
