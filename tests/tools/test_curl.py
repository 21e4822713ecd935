"""curl, in each way that it can ask a SOCKS5 server."""

import socket

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, HOST6, WEB, Site

pytestmark = pytest.mark.uses("curl")


@pytest.mark.parametrize("host", [HOST, f"[{HOST6}]"])
@pytest.mark.parametrize("option", ["--socks5", "--socks5-hostname"])
def test_addresses(sealed: Site, web_port: int, option: str, host: str) -> None:
    assert sealed.run("curl", "-sS", option, sealed.proxy, f"http://{host}:{web_port}/") == TEXT


@pytest.mark.parametrize("name", [WEB, "six.inside.test"])
def test_a_name_is_resolved_at_the_agent(sealed: Site, web_port: int, name: str) -> None:
    assert sealed.run("curl", "-sS", "--socks5-hostname", sealed.proxy, f"http://{name}:{web_port}/") == TEXT


def test_a_refused_port_is_told(sealed: Site) -> None:
    with sealed.inside.inside(), socket.socket() as closed:
        closed.bind((HOST, 0))
        url = f"http://{HOST}:{closed.getsockname()[1]}/"
        # CURLE_PROXY; the message holds the SOCKS reply
        assert "(5)" in sealed.run("curl", "-sS", "--socks5-hostname", sealed.proxy, url, code=97)
