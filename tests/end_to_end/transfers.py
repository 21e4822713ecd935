"""Large transfers at little cost to the machine: files sent by the kernel, checksums over large reads."""

import os
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from tests.end_to_end.network import Target

MIB = 1 << 20
_BLOCK = os.urandom(4 * MIB)


def pieces(size: int) -> Iterator[bytes]:
    """The ``size`` bytes that every source sends."""
    while size > 0:
        yield _BLOCK[:size]
        size -= len(_BLOCK)


def checksum(size: int) -> int:
    """Their CRC-32."""
    result = 0
    for piece in pieces(size):
        result = zlib.crc32(piece, result)
    return result


def receive_checksum(connection: socket.socket, size: int) -> int:
    """The CRC-32 of ``size`` bytes received; EOFError where the end comes first."""
    buffer = bytearray(MIB)
    view = memoryview(buffer)
    result, left = 0, size
    while left:
        count = connection.recv_into(view[: min(left, MIB)])
        if not count:
            raise EOFError(f"{left} of {size} bytes are missing")
        result = zlib.crc32(view[:count], result)
        left -= count
    return result


class Source(Target):
    """A target that sends ``size`` bytes to whoever connects, then ends; ``sent`` counts all of it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0
        super().__init__(self._send)

    def _send(self, connection: socket.socket) -> None:
        with _file() as file:
            left = self.size
            while left:
                offset = (self.size - left) % len(_BLOCK)
                count = os.sendfile(connection.fileno(), file, offset, min(left, len(_BLOCK) - offset, MIB))
                left -= count
                self.sent += count


@contextmanager
def _file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(_BLOCK)
        file.flush()
        yield file.fileno()
