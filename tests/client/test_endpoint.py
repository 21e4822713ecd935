"""client.endpoint: each reply is an error of its own, and a Proxy's fault is never told as the target's."""

import os
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from socksfusion import client
from socksfusion.client import Login, OpenFailed, Proxy
from socksfusion.wire.socks5 import Reply
from tests.resolving_reactor import ResolvingReactor
from tests.test_negotiation import Transport

SUCCESS = bytes.fromhex("05 00 00 01 00 00 00 00 00 00")
SECRET = "xK4-secret-token"


class Opening:
    """One connect to a target through a Proxy that the test plays."""

    def __init__(self, host: str = "192.0.2.7", port: int = 80, login: Login | None = None) -> None:
        self.reactor = ResolvingReactor()
        self.addresses: list[Any] = []
        self.result: list[Any] = []
        self.endpoint = Proxy(self.reactor, "127.0.0.1", 1080, login=login).target(host, port)
        self.connecting = self.endpoint.connect(_Factory(self.addresses))
        self.connecting.addBoth(self.result.append)

    def answer(self, *pieces: bytes) -> bytes:
        """Accept, and answer; what was sent."""
        self.transport = Transport()
        self.protocol = self.reactor.tcpClients[0][2].buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        for piece in pieces:
            self.protocol.dataReceived(piece)
        return self.transport.value()

    @property
    def error(self) -> Any:
        (failure,) = self.result
        return failure.value


class _Factory(Factory):
    def __init__(self, addresses: list[Any]) -> None:
        self.addresses = addresses

    def buildProtocol(self, addr: Any) -> Protocol:
        self.addresses.append(addr)
        return Protocol()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", IPv4Address("TCP", "192.0.2.7", 80)),
        ("2001:db8::7", IPv6Address("TCP", "2001:db8::7", 80)),
        ("www.example", HostnameAddress(b"www.example", 80)),
    ],
)
def test_the_factory_is_told_the_target(host: str, address: Any) -> None:
    opening = Opening(host)
    opening.answer(b"\x05\x00", SUCCESS)
    assert isinstance(opening.result[0], Protocol)
    assert opening.addresses == [address]


def test_the_login_names_agent_and_client() -> None:
    sent = Opening(login=Proxy.login_for("acme", "pw", client="scan1")).answer(b"\x05\x02")
    assert sent == b"\x05\x01\x02\x01\x0ascan1@acme\x02pw"
    assert Opening(login=Proxy.login_for("acme", "pw")).answer(b"\x05\x02") == b"\x05\x01\x02\x01\x04acme\x02pw"


@pytest.mark.parametrize(
    ("code", "kind", "stock", "word"),
    [
        (1, client.NotTested, error.ConnectError, "not tested"),
        (2, client.Denied, error.ConnectError, "denied"),
        (3, client.NetworkUnreachable, error.NoRouteError, "network unreachable"),
        (4, client.HostUnreachable, error.ConnectError, "host unreachable"),
        (5, client.Refused, error.ConnectionRefusedError, "closed"),
        (6, client.NoAnswer, error.TCPTimedOutError, "filtered"),
        (7, client.CommandNotSupported, error.ConnectError, "command"),
        (8, client.AddressNotSupported, error.ConnectError, "address type"),
    ],
)
def test_each_reply_is_a_class(code: int, kind: type[OpenFailed], stock: type[Exception], word: str) -> None:
    opening = Opening()
    opening.answer(b"\x05\x00\x05", bytes([code]))
    assert type(opening.error) is kind
    assert isinstance(opening.error, stock)
    assert opening.error.reply is Reply(code)
    assert str(opening.error).startswith("192.0.2.7:80: ")
    assert word in str(opening.error)
    assert f"0x0{code}" in str(opening.error)


def test_a_reply_that_nobody_knows() -> None:
    opening = Opening()
    opening.answer(b"\x05\x00\x05\xfa")
    assert type(opening.error) is OpenFailed
    assert opening.error.reply is None
    assert "0xfa" in str(opening.error)


def fail_dial(opening: Opening, cause: Exception) -> None:
    opening.reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(cause))
    opening.reactor.advance(1)


@pytest.mark.parametrize(
    "cause", [error.ConnectionRefusedError(), error.TCPTimedOutError(), error.TimeoutError(), error.NoRouteError()]
)
def test_a_proxy_that_cant_be_reached_says_nothing_of_the_target(cause: Exception) -> None:
    opening = Opening()
    fail_dial(opening, cause)
    assert type(opening.error) is client.ProxyFailed
    assert isinstance(opening.error, client.NotTested)
    assert not isinstance(opening.error, error.ConnectionRefusedError | error.TCPTimedOutError | error.NoRouteError)
    assert "127.0.0.1:1080" in str(opening.error)


def test_a_proxy_that_hangs_up() -> None:
    opening = Opening()
    opening.answer(b"\x05\x00")
    opening.protocol.connectionLost(Failure(error.ConnectionDone()))
    assert type(opening.error) is client.ProxyFailed


def test_a_proxy_that_is_silent() -> None:
    opening = Opening()
    opening.answer(b"\x05\x00")
    opening.reactor.advance(181)
    assert type(opening.error) is client.ProxyFailed
    assert "180 s" in str(opening.error)


def test_what_is_no_proxy() -> None:
    opening = Opening()
    opening.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert type(opening.error) is client.ProxyFailed
    assert "no SOCKS5 server" in str(opening.error)


def test_a_cancelled_dial_is_just_that() -> None:
    opening = Opening()
    opening.connecting.cancel()
    assert isinstance(opening.error, CancelledError | error.ConnectingCancelledError)


def test_a_wrong_login_is_not_tested_and_no_text_shows_it() -> None:
    opening = Opening(login=Login("acme", SECRET))
    opening.answer(b"\x05\x02", b"\x01\x01")
    assert type(opening.error) is client.LoginRefused
    assert isinstance(opening.error, client.NotTested)
    failure = opening.result[0]
    shown = f"{opening.error}{opening.error!r}{failure.getTraceback(detail='verbose')}{opening.endpoint!r}"
    assert SECRET not in shown
    assert os.linesep not in str(opening.error)


@pytest.mark.parametrize("host", ["", "a" * 300])
def test_a_host_that_cant_be_asked_for_is_told_at_once(host: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        Proxy(ResolvingReactor()).target(host, 80)
