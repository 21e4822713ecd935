"""tunnel.plain: what a Client's and a Target's socket are set to."""

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from zope.interface import alsoProvides

from socksfusion import limits
from socksfusion.tunnel import plain


class SocketTransport(StringTransport):
    bufferSize = 0

    def __init__(self, handle: socket.socket) -> None:
        super().__init__()
        self._handle = handle
        alsoProvides(self, ITCPTransport)

    def getHandle(self) -> socket.socket:
        return self._handle


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        yield client


def test_a_tcp_socket_sends_at_once_and_is_kept_alive(tcp: socket.socket) -> None:
    transport = SocketTransport(tcp)
    plain.prepare(transport)
    assert transport.bufferSize == limits.PLAIN_READ_BYTES
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3


def test_a_unix_socket_and_a_transport_without_one_are_left_alone() -> None:
    left, right = socket.socketpair()
    with left, right:
        for transport in (SocketTransport(left), StringTransport()):
            plain.prepare(transport)
            assert transport.bufferSize == limits.PLAIN_READ_BYTES


def test_a_socket_that_is_gone_raises_nothing(tcp: socket.socket) -> None:
    transport = SocketTransport(tcp)
    tcp.close()
    plain.prepare(transport)
