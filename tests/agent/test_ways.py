"""agent.ways: which address is reached how, and what it needs."""

import sys
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from socksfusion.agent.outbound.errors import OutboundFailed
from socksfusion.agent.outbound.no_proxy import NoProxy
from socksfusion.agent.outbound.settings import OutboundProxy, WayOut
from socksfusion.agent.ways import make_ways
from socksfusion.errors import UsageError

PROXIES = {kind: OutboundProxy(kind, "192.0.2.1", 3128) for kind in ("http", "socks5")}  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", PROXIES)
def test_each_address_goes_its_own_way(kind: str) -> None:
    out = WayOut(PROXIES[kind], NoProxy.parse("internal.example"))
    addresses = [("proxy.example", 443), ("proxy.internal.example", 8443), ("2001:db8::1", 443)]
    ways = make_ways(MemoryReactorClock(), addresses, out, 10)
    assert [(way.host, way.proxy) for way in ways] == [
        ("proxy.example", f"proxy.example:443 (through {kind}://192.0.2.1:3128)"),
        ("proxy.internal.example", "proxy.internal.example:8443"),
        ("2001:db8::1", f"[2001:db8::1]:443 (through {kind}://192.0.2.1:3128)"),
    ]
    assert [isinstance(way.endpoint, HostnameEndpoint) for way in ways] == [False, True, False]


@pytest.mark.parametrize("kind", PROXIES)
def test_an_outbound_proxy_that_cant_be_reached_is_told_as_such(kind: str) -> None:
    reactor = MemoryReactorClock()
    (way,) = make_ways(reactor, [("proxy.example", 443)], WayOut(PROXIES[kind]), 10)
    failures: list[Any] = []
    way.endpoint.connect(Factory.forProtocol(Protocol)).addErrback(failures.append)
    reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))
    reactor.advance(1)
    assert isinstance(failures[0].value, OutboundFailed)
    assert f"no connection to the outbound proxy {kind}://192.0.2.1:3128" in str(failures[0].value)


def test_http_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "h11"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("socksfusion.wire.http_connect", "socksfusion.agent.outbound.http"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(UsageError, match=r"needs the package h11: .*\[agent\]"):
        make_ways(MemoryReactorClock(), [("proxy.example", 443)], WayOut(PROXIES["http"]), 10)
    make_ways(MemoryReactorClock(), [("proxy.example", 443)], WayOut(PROXIES["socks5"]), 10)


def test_a_login_that_socks_cant_carry() -> None:
    proxy = OutboundProxy("socks5", "192.0.2.1", 1080, "alice")
    with pytest.raises(UsageError, match="password has 1 to 255 bytes"):
        make_ways(MemoryReactorClock(), [("proxy.example", 443)], WayOut(proxy), 10)
