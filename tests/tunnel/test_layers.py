"""tunnel.layers: the wrappers that Twisted's endpoints put between a socket and a protocol."""

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import _WrapperServerEndpoint
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import StringTransport
from twisted.protocols.haproxy import proxyEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory

from socksfusion.tunnel import eager, layers

HEADER = b"PROXY TCP4 203.0.113.7 198.51.100.1 4444 1080\r\n"


class Heard(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class Below(StringTransport):
    """The transport with the socket."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.protocol: IProtocol | None = None
        self.bufferSize = 0
        self.calls: list[str] = []

    def loseConnection(self) -> None:
        self.calls.append("close")

    def loseWriteConnection(self) -> None:
        self.calls.append("fin")


def haproxy_factory(wrapped: Factory) -> Any:
    endpoint: Any = proxyEndpoint(None)
    assert isinstance(endpoint, _WrapperServerEndpoint)
    return endpoint._wrapperFactory(wrapped)


def connected(make_factory: Any) -> tuple[Any, Heard, Below]:
    """The wrapper, the protocol above it and the transport below."""
    heard, below = Heard(), Below()
    factory = Factory.forProtocol(lambda: heard)
    wrapper = make_factory(factory).buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
    below.protocol = wrapper
    wrapper.makeConnection(below)
    return wrapper, heard, below


def over_tls() -> tuple[Any, Heard, Below]:
    # without a certificate: no handshake is made with it
    return connected(lambda factory: TLSMemoryBIOFactory(CertificateOptions(), False, factory))


def test_a_proxy_header_is_taken_off_and_its_wrapper_forgotten() -> None:
    wrapper, heard, below = connected(haproxy_factory)
    assert layers.reads_proxy_header(wrapper)
    wrapper.dataReceived(HEADER + b"first")
    assert heard.data == b"first"
    transport, peer = layers.below_proxy_header(wrapper, heard)
    assert (transport, peer) == (below, IPv4Address("TCP", "203.0.113.7", 4444))
    assert below.protocol is heard
    assert not wrapper.factory.protocols


def test_a_missing_proxy_header_is_noticed() -> None:
    wrapper, _, below = connected(haproxy_factory)
    assert not layers.refused_proxy_header(wrapper)
    wrapper.dataReceived(b"\x05\x01\x00")
    assert below.calls == ["close"]
    assert layers.refused_proxy_header(wrapper)


@pytest.mark.parametrize("make", [lambda: connected(haproxy_factory), over_tls], ids=["PROXY header", "TLS"])
def test_a_wrapper_is_no_socket(make: Any) -> None:
    wrapper, _, below = make()
    assert layers.socket_of(wrapper) is layers.socket_of(below) is below
    new = Heard()
    layers.hand_over(wrapper, new)
    assert wrapper.wrappedProtocol is new
    assert below.protocol is wrapper


def test_nothing_in_the_middle_of_tls_is_a_fin_of_tcp() -> None:
    wrapper, _, below = over_tls()
    assert layers.is_tls(wrapper)
    assert not layers.reads_proxy_header(wrapper)
    wrapper.loseConnection = lambda: below.calls.append("close_notify")
    layers.end_writing(wrapper)
    assert below.calls == ["close_notify"]
    layers.close(wrapper)
    assert below.calls == ["close_notify", "close_notify", "close"]
    layers.end_writing(below)
    layers.close(below)
    assert below.calls[3:] == ["fin", "close"]


def test_writes_to_tls_are_not_gathered_for_a_turn_of_the_reactor() -> None:
    wrapper, _, _ = over_tls()
    assert eager.writer(wrapper) != wrapper.write
    eager.writer(wrapper)(b"before the handshake")
    assert wrapper._appSendBuffer == [b"before the handshake"]
