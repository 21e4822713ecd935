"""Python's ways to SOCKS5: PySocks, requests and httpx, each in a process of its own."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, HOST6, WEB, Site
from tests.tools.trap import Door

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
PYSOCKS_DATAGRAM = """
import socket, socks, sys
client = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
client.set_proxy(socks.SOCKS5, "127.0.0.1", int(sys.argv[1]), rdns=True)
client.settimeout(30)
client.sendto(b"by PySocks", (sys.argv[2], int(sys.argv[3])))
answer, _ = client.recvfrom(100)
print(socket.socket.getpeername(client)[1], answer.decode())
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
def test_pysocks_tells_a_refused_port(sealed: Site, closed_port: int) -> None:
    assert "0x05: Connection refused" in sealed.python(PYSOCKS, sealed.port, HOST, closed_port, code=1)


@pytest.mark.uses("PySocks")
@pytest.mark.parametrize("host", [HOST, WEB])
def test_pysocks_with_a_datagram(site: Site, host: str) -> None:
    """It goes to the relay of its association on the Proxy, and nowhere else."""
    with site.inside.inside():
        target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        target.bind((HOST, 0))
    with target, site.trap() as trap, ThreadPoolExecutor(1) as answering:
        answered = answering.submit(answer_once, target)
        told = site.python(PYSOCKS_DATAGRAM, site.port, host, target.getsockname()[1])
        relay, _, answer = told.strip().partition(" ")
        assert (answer, answered.result()) == ("BY PYSOCKS", "10.20.30.1")
        beside = [packet for packet in trap.leaks() if not Door("lo", "127.0.0.1", int(relay), "udp").lets(packet)]
    assert beside == []


def answer_once(target: socket.socket) -> str:
    """Answer a datagram in capitals; the address that it came from."""
    target.settimeout(30)
    data, (host, port) = target.recvfrom(100)
    target.sendto(data.upper(), (host, port))
    return str(host)


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
