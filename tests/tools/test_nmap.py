"""nmap behind proxychains-ng or torsocks: a connect scan finds all that is open and nothing else; other scans leak."""

import re
import sys
from pathlib import Path

import pytest

from tests.end_to_end.scanner import hundred_ports
from tests.tools.pages import TEXT
from tests.tools.site import HOST, WEB, Site


@pytest.fixture
def configuration(site: Site, tmp_path: Path) -> Path:
    """A proxychains configuration, with the names and times that docs/tools.md advises."""
    file = tmp_path / "proxychains.conf"
    file.write_text(f"strict_chain\nproxy_dns\ntcp_read_time_out 60000\n[ProxyList]\nsocks5 127.0.0.1 {site.port}\n")
    return file


@pytest.mark.uses("proxychains", "nmap", "torsocks")
@pytest.mark.parametrize("carrier", ["proxychains", "torsocks"])
def test_a_connect_scan_finds_exactly_the_three_open_ports(sealed: Site, configuration: Path, carrier: str) -> None:
    by = {
        "proxychains": ("proxychains4", "-q", "-f", configuration),
        "torsocks": ("torsocks", "--address", "127.0.0.1", "--port", sealed.port),
    }
    with sealed.inside.inside(), hundred_ports(HOST) as (opened, closed):
        ports = ",".join(map(str, opened + closed))
        scan = ("nmap", "-sT", "-Pn", "-n", "-T4", "--max-retries", "0", "-p", ports, "-oG", "-", HOST)
        found = sealed.run(*by[carrier], *scan, seconds=110)
    assert [int(port) for port in re.findall(r"(\d+)/open/tcp", found)] == sorted(opened), found
    assert "Ignored State: closed (97)" in found


@pytest.mark.uses("proxychains", "curl")
def test_a_name_is_resolved_at_the_agent(sealed: Site, configuration: Path, web_port: int) -> None:
    command = ("proxychains4", "-q", "-f", configuration, "curl", "-sS", f"http://{WEB}:{web_port}/")
    assert sealed.run(*command) == TEXT


UDP = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'?', ('{HOST}', 53))"
NOT_CARRIED = {
    "SYN scan": (("nmap", "-sS", "-Pn", "-n", "--max-retries", "0", "-p", "80", HOST), ("tcp", HOST, 80)),
    "UDP scan": (("nmap", "-sU", "-Pn", "-n", "--max-retries", "0", "-p", "53", HOST), ("udp", HOST, 53)),
    "ping before a connect scan": (("nmap", "-sT", "-n", "--max-retries", "0", "-p", "80", HOST), ("icmp", HOST, 0)),
    "datagrams of any program": ((sys.executable, "-c", UDP), ("udp", HOST, 53)),
}


@pytest.mark.uses("proxychains", "nmap")
@pytest.mark.parametrize("what", NOT_CARRIED)
def test_what_proxychains_does_not_carry_leaks(site: Site, configuration: Path, what: str) -> None:
    """It wraps connect() and look-ups of names; everything else goes by the tool's own network."""
    command, leak = NOT_CARRIED[what]
    with site.trap() as trap:
        site.run("proxychains4", "-q", "-f", configuration, *command, code=None)
        assert leak in {(packet.transport, packet.host, packet.port) for packet in trap.leaks()}
