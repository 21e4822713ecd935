"""The two netcats that speak SOCKS5: OpenBSD's and nmap's."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.network import Target
from tests.tools.site import HOST, WEB, Site


@pytest.fixture(scope="module")
def shouting_port(site: Site) -> Iterator[int]:
    """A Target that answers in capitals and ends."""
    with site.inside.inside():
        target = Target(lambda connection: connection.sendall(connection.recv(100).upper()), HOST)
    with target:
        yield target.port


@pytest.mark.uses("ncat")
@pytest.mark.parametrize("host", [HOST, WEB])
def test_ncat(sealed: Site, shouting_port: int, host: str) -> None:
    command = ("ncat", "--proxy-type", "socks5", "--proxy-dns", "remote", "--proxy", sealed.proxy)
    assert sealed.run(*command, host, shouting_port, said="by ncat\n") == "BY NCAT\n"


@pytest.mark.uses("nc")
@pytest.mark.parametrize("host", [HOST, WEB])
def test_openbsd_netcat(sealed: Site, shouting_port: int, host: str) -> None:
    command = ("nc.openbsd", "-X", "5", "-x", sealed.proxy)
    assert sealed.run(*command, host, shouting_port, said="by nc\n") == "BY NC\n"


SCANS = {
    "ncat": ("ncat", "-v", "-z", "--proxy-type", "socks5", "--proxy"),
    "nc": ("nc.openbsd", "-v", "-z", "-X", "5", "-x"),
}


@pytest.mark.uses("ncat", "nc")
@pytest.mark.parametrize("tool", SCANS)
def test_a_refused_port_is_told(sealed: Site, shouting_port: int, closed_port: int, tool: str) -> None:
    sealed.run(*SCANS[tool], sealed.proxy, HOST, shouting_port)
    assert "Connection refused" in sealed.run(*SCANS[tool], sealed.proxy, HOST, closed_port, code=1)
