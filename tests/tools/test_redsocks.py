"""redsocks carries programs that know no proxy. It accepts before it dials: never for port scans."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.programs import Program, free_port
from tests.end_to_end.scanner import hundred_ports
from tests.tools.pages import TEXT
from tests.tools.site import HOST, Site
from tests.tools.trap import Door

pytestmark = pytest.mark.uses("redsocks", "iptables")

CONFIGURATION = """
base {{ log_debug = off; log_info = on; log = "stderr"; daemon = off; redirector = iptables; }}
redsocks {{ local_ip = 127.0.0.1; local_port = {local}; ip = 127.0.0.1; port = {port}; type = socks5; }}
"""


@pytest.fixture
def redirected(site: Site, tmp_path: Path) -> Iterator[Site]:
    """All TCP to the Targets' network is turned to redsocks by the kernel; any other packet fails the test."""
    local = free_port()
    (tmp_path / "redsocks.conf").write_text(CONFIGURATION.format(local=local, port=site.port))
    rule = f"-p tcp -d 10.20.30.0/24 -j REDIRECT --to-ports {local}"
    program = Program([*site.tool.prefix, "redsocks", "-c", str(tmp_path / "redsocks.conf")], cwd=tmp_path)
    site.tool.run(f"iptables -t nat -A OUTPUT {rule}")
    try:
        program.wait_log("redsocks started")
        with site.trap(Door("lo", "127.0.0.1", local)) as trap:
            yield site
            # in its answers the kernel puts the Target's address back
            leaks = [packet for packet in trap.leaks() if (packet.interface, packet.source) != ("lo", HOST)]
            assert [str(packet) for packet in leaks] == []
    finally:
        site.tool.run(f"iptables -t nat -D OUTPUT {rule}")
        program.stop()


@pytest.mark.uses("curl")
def test_it_carries_a_program_that_knows_no_proxy(redirected: Site, web_port: int) -> None:
    assert redirected.run("curl", "-sS", f"http://{HOST}:{web_port}/") == TEXT


def test_every_port_looks_open_through_it(redirected: Site) -> None:
    """A scan through it would be a lie: 97 of these are closed."""
    looks_open = 0
    with redirected.inside.inside(), hundred_ports(HOST) as (opened, closed), redirected.tool.inside():
        for port in opened + closed:
            socket.create_connection((HOST, port), 30).close()
            looks_open += 1
    assert looks_open == 100
