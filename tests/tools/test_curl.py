"""curl, in each way that it can ask a SOCKS5 server."""

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


WAYS = {
    "SOCKS4": ("--socks4", "{proxy}", HOST),
    "SOCKS4a": ("--socks4a", "{proxy}", WEB),
    "HTTP CONNECT": ("--proxytunnel", "--proxy", "http://{proxy}", WEB),
    "HTTP GET": ("--proxy", "http://{proxy}", WEB),
}


@pytest.mark.parametrize("way", WAYS)
def test_other_ways_in_on_the_same_port(sealed: Site, web_port: int, way: str) -> None:
    *options, host = (word.format(proxy=sealed.proxy) for word in WAYS[way])
    assert sealed.run("curl", "-sS", *options, f"http://{host}:{web_port}/") == TEXT


REFUSALS = {
    "SOCKS4a": (("--socks4a", "{proxy}"), 97, "request rejected or failed"),
    "HTTP CONNECT": (("--proxytunnel", "--proxy", "http://{proxy}"), 56, "502"),
}


@pytest.mark.parametrize("way", REFUSALS)
def test_a_refused_port_is_told_in_other_ways(sealed: Site, closed_port: int, way: str) -> None:
    options, code, told = REFUSALS[way]
    words = [word.format(proxy=sealed.proxy) for word in options]
    assert told in sealed.run("curl", "-sS", *words, f"http://{HOST}:{closed_port}/", code=code)


def test_a_refused_port_is_told(sealed: Site, closed_port: int) -> None:
    url = f"http://{HOST}:{closed_port}/"
    # CURLE_PROXY; the message holds the SOCKS reply
    assert "(5)" in sealed.run("curl", "-sS", "--socks5-hostname", sealed.proxy, url, code=97)
