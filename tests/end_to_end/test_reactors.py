"""Both programs on other reactors than Twisted's default."""

import importlib.util

import pytest

from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation

CLASSES = {
    "asyncio": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
    "select": "twisted.internet.selectreactor.SelectReactor",
    "uvloop": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
}
BULK = bytes(range(256)) * (16 * 1024)


@pytest.mark.parametrize("reactor", ["asyncio", "select", "uvloop"])
def test_bytes_pass_both_ways(installed: Installation, reactor: str) -> None:
    if reactor == "uvloop" and importlib.util.find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")
    installed.reactor = reactor
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy)
    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"hello")
        assert receive_exactly(client, 5) == b"hello"
        client.sendall(BULK)
        assert receive_exactly(client, len(BULK)) == BULK
    for program in (proxy, agent):
        program.wait_log(f"reactor class: {CLASSES[reactor]}")
