"""agent.ways: which address is reached how, and what it needs."""

import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from socksfusion.agent.outbound.errors import OutboundFailed
from socksfusion.agent.outbound.no_proxy import NoProxy
from socksfusion.agent.outbound.settings import OutboundProxy, WayOut
from socksfusion.agent.ways import chosen_ways, make_ways
from socksfusion.errors import UsageError
from tests.resolving_reactor import ResolvingReactor
from tests.test_negotiation import Transport
from tests.tunnel.certificates import agent_copy

PROXIES = {kind: OutboundProxy(kind, "192.0.2.1", 3128) for kind in ("http", "socks5")}  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", PROXIES)
def test_each_address_goes_its_own_way(kind: str) -> None:
    out = WayOut(PROXIES[kind], NoProxy.parse("internal.example"))
    addresses = [("proxy.example", 443), ("proxy.internal.example", 8443), ("2001:db8::1", 443)]
    ways = make_ways(ResolvingReactor(), addresses, out, 10)
    assert [(way.host, way.proxy) for way in ways] == [
        ("proxy.example", f"proxy.example:443 (through {kind}://192.0.2.1:3128)"),
        ("proxy.internal.example", "proxy.internal.example:8443"),
        ("2001:db8::1", f"[2001:db8::1]:443 (through {kind}://192.0.2.1:3128)"),
    ]
    assert [isinstance(way.endpoint, HostnameEndpoint) for way in ways] == [False, True, False]


@pytest.mark.parametrize("kind", PROXIES)
def test_an_outbound_proxy_that_cant_be_reached_is_told_as_such(kind: str) -> None:
    reactor = ResolvingReactor()
    (way,) = make_ways(reactor, [("proxy.example", 443)], WayOut(PROXIES[kind]), 10)
    failures: list[Any] = []
    way.endpoint.connect(Factory.forProtocol(Protocol)).addErrback(failures.append)
    reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))
    reactor.advance(1)
    assert isinstance(failures[0].value, OutboundFailed)
    assert f"no connection to the outbound proxy {kind}://192.0.2.1:3128" in str(failures[0].value)


@pytest.mark.parametrize("kind", PROXIES)
def test_an_outbound_proxy_that_says_nothing_is_told_as_such(kind: str) -> None:
    reactor = ResolvingReactor()
    (way,) = make_ways(reactor, [("proxy.example", 443)], WayOut(PROXIES[kind]), 10)
    failures: list[Any] = []
    # as the connector and the doctor dial
    way.endpoint.connect(Factory.forProtocol(Protocol)).addTimeout(way.seconds, reactor).addErrback(failures.append)
    reactor.advance(9)
    there = reactor.tcpClients[0][2].buildProtocol(IPv4Address("TCP", "192.0.2.1", 3128))
    there.makeConnection(Transport())
    reactor.advance(10)
    assert isinstance(failures[0].value, OutboundFailed)
    assert f"{kind}://192.0.2.1:3128 did not connect to proxy.example:443 within 10 s" in str(failures[0].value)
    assert not reactor.getDelayedCalls()


def chosen(path: Path, **options: Any) -> Any:
    given = {"proxy": None, "outbound-proxy": PROXIES["http"], "outbound-proxy-password-file": path, "handshake": 10}
    return chosen_ways(ResolvingReactor(), given | options, agent_copy())


def test_the_options_and_the_copy_give_the_ways(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_bytes(b"hush\r\nnever read\n")
    named = OutboundProxy("http", "192.0.2.1", 3128, "alice")
    (way,) = chosen(password, **{"outbound-proxy": named})
    assert way.outbound == OutboundProxy("http", "192.0.2.1", 3128, "alice", "hush")
    assert way.proxy.startswith(agent_copy().proxy)
    (way,) = chosen(password, proxy=[("other.example", 8443)], **{"outbound-proxy": named})
    assert way.host == "other.example"


@pytest.mark.parametrize(
    ("mode", "content", "says"),
    [(0o644, b"hush\n", "others can use"), (0o600, b"\xff\n", "no text in UTF-8"), (None, b"", "No such file")],
)
def test_a_password_file_that_cant_be_used(tmp_path: Path, mode: int | None, content: bytes, says: str) -> None:
    password = tmp_path / "password"
    if mode is not None:
        password.write_bytes(content)
        password.chmod(mode)
    with pytest.raises(UsageError, match=f"^--outbound-proxy-password-file: .*{says}"):
        chosen(password)


def test_http_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "h11"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("socksfusion.wire.http_connect", "socksfusion.agent.outbound.http"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(UsageError, match=r"needs the package h11: .*\[agent\]"):
        make_ways(ResolvingReactor(), [("proxy.example", 443)], WayOut(PROXIES["http"]), 10)
    make_ways(ResolvingReactor(), [("proxy.example", 443)], WayOut(PROXIES["socks5"]), 10)


def test_a_login_that_socks_cant_carry() -> None:
    proxy = OutboundProxy("socks5", "192.0.2.1", 1080, "alice")
    with pytest.raises(UsageError, match="password has 1 to 255 bytes"):
        make_ways(ResolvingReactor(), [("proxy.example", 443)], WayOut(proxy), 10)
