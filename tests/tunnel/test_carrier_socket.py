"""A carrier's socket holds little that is unsent."""

import socket

import pytest
from twisted.internet.testing import StringTransport

from socksfusion import limits
from socksfusion.tunnel import carrier_socket


class Transport(StringTransport):
    def __init__(self, handle: socket.socket) -> None:
        super().__init__()
        self._handle = handle
        self.no_delay = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getHandle(self) -> socket.socket:
        return self._handle


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no TCP_NOTSENT_LOWAT")
def test_a_tcp_socket_is_set_up() -> None:
    with socket.socket() as handle:
        transport = Transport(handle)
        carrier_socket.prepare(transport)
        assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == limits.CARRIER_UNSENT_BYTES
    assert transport.no_delay
    assert transport.bufferSize == limits.HANDSHAKE_BYTES


def test_a_socket_that_is_gone_is_left_alone() -> None:
    handle = socket.socket()
    handle.close()
    carrier_socket.prepare(Transport(handle))
