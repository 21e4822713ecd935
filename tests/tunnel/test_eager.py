"""Small writes at once, in order with those that wait."""

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.testing import StringTransport

from socksfusion.tunnel import eager


class SocketTransport:
    """As much of Twisted's TCP transport as eager writing touches, over a real socket."""

    def __init__(self, handle: socket.socket) -> None:
        self._handle = handle
        self.dataBuffer = b""
        self._tempDataBuffer: list[bytes] = []

    def getHandle(self) -> socket.socket:
        return self._handle

    def write(self, data: bytes) -> None:
        self._tempDataBuffer.append(data)


@pytest.fixture
def ends() -> Iterator[tuple[SocketTransport, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield SocketTransport(ours), theirs


def test_a_small_write_is_there_at_once(ends: tuple[SocketTransport, socket.socket]) -> None:
    transport, theirs = ends
    eager.writer(transport)(b"reply")
    assert theirs.recv(100) == b"reply"
    assert not transport._tempDataBuffer


@pytest.mark.parametrize("attribute", ["dataBuffer", "_tempDataBuffer"])
def test_nothing_overtakes_what_waits(ends: tuple[SocketTransport, socket.socket], attribute: str) -> None:
    transport, theirs = ends
    setattr(transport, attribute, b"first" if attribute == "dataBuffer" else [b"first"])
    eager.writer(transport)(b"second")
    assert transport._tempDataBuffer[-1] == b"second"
    with pytest.raises(BlockingIOError):
        theirs.recv(100)


def test_a_full_socket_keeps_the_rest_in_order(ends: tuple[SocketTransport, socket.socket]) -> None:
    transport, theirs = ends
    write = eager.writer(transport)
    written = b""
    while not transport._tempDataBuffer:
        piece = bytes([len(written) % 251]) * 5000
        write(piece)
        written += piece
    received = b""
    try:
        while True:
            received += theirs.recv(65536)
    except BlockingIOError:
        pass
    assert received + b"".join(transport._tempDataBuffer) == written


def test_a_closed_socket_is_left_to_the_transport(ends: tuple[SocketTransport, socket.socket]) -> None:
    transport, _ = ends
    write = eager.writer(transport)
    transport.getHandle().close()
    write(b"late")
    assert transport._tempDataBuffer == [b"late"]


def test_another_transport_is_written_to_as_usual() -> None:
    transport = StringTransport()
    eager.writer(transport)(b"data")
    assert transport.value() == b"data"
