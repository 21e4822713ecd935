"""torsocks, for programs that know no proxy. Its names are for Tor only: it asks by a command of Tor's."""

import sys

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, WEB, Site

pytestmark = pytest.mark.uses("torsocks", "curl")


def test_an_address(sealed: Site, web_port: int) -> None:
    command = ("torsocks", "--address", "127.0.0.1", "--port", sealed.port, "curl", "-sS")
    assert sealed.run(*command, f"http://{HOST}:{web_port}/") == TEXT


def test_a_name_is_not_found_and_does_not_leak(sealed: Site, web_port: int) -> None:
    command = ("torsocks", "--address", "127.0.0.1", "--port", sealed.port, "curl", "-sS")
    # CURLE_COULDNT_RESOLVE_HOST
    sealed.run(*command, f"http://{WEB}:{web_port}/", code=6)


def test_datagrams_are_refused_and_do_not_leak(sealed: Site) -> None:
    source = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'?', ('{HOST}', 53))"
    command = ("torsocks", "--address", "127.0.0.1", "--port", sealed.port, sys.executable, "-c", source)
    assert "Operation not permitted" in sealed.run(*command, code=1)
