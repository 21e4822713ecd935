"""nmap's connect scan behind proxychains-ng: it finds what is open, all of it and nothing else."""

import re
from pathlib import Path

import pytest

from tests.end_to_end.scanner import hundred_ports
from tests.tools.pages import TEXT
from tests.tools.site import HOST, WEB, Site


@pytest.fixture
def configuration(site: Site, tmp_path: Path) -> Path:
    """A proxychains configuration, with the names and times that docs/tools.md advises."""
    file = tmp_path / "proxychains.conf"
    file.write_text(
        "strict_chain\nproxy_dns\ntcp_read_time_out 60000\ntcp_connect_time_out 60000\n"
        f"[ProxyList]\nsocks5 127.0.0.1 {site.port}\n"
    )
    return file


@pytest.mark.uses("proxychains", "nmap")
def test_a_connect_scan_finds_exactly_the_three_open_ports(sealed: Site, configuration: Path) -> None:
    with sealed.inside.inside(), hundred_ports(HOST) as (opened, closed):
        ports = ",".join(map(str, opened + closed))
        scan = ("nmap", "-sT", "-Pn", "-n", "-T4", "--max-retries", "0", "-p", ports, "-oG", "-", HOST)
        found = sealed.run("proxychains4", "-q", "-f", configuration, *scan, seconds=110)
    assert [int(port) for port in re.findall(r"(\d+)/open/tcp", found)] == sorted(opened), found
    assert "Ignored State: closed (97)" in found


@pytest.mark.uses("proxychains", "curl")
def test_a_name_is_resolved_at_the_agent(sealed: Site, configuration: Path, web_port: int) -> None:
    command = ("proxychains4", "-q", "-f", configuration, "curl", "-sS", f"http://{WEB}:{web_port}/")
    assert sealed.run(*command) == TEXT
