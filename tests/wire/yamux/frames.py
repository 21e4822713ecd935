"""Frames for tests, built from the specification's layout and not by the code under test."""

import struct

SYN, ACK, FIN, RST = 1, 2, 4, 8
WINDOW = 256 * 1024


def raw(version: int, kind: int, flags: int, stream_id: int, length: int) -> bytes:
    return struct.pack(">BBHII", version, kind, flags, stream_id, length)


def data(stream_id: int, body: bytes = b"", flags: int = 0) -> bytes:
    return raw(0, 0, flags, stream_id, len(body)) + body


def update(stream_id: int, delta: int = 0, flags: int = 0) -> bytes:
    return raw(0, 1, flags, stream_id, delta)


def ping(opaque: int, flags: int = SYN) -> bytes:
    return raw(0, 2, flags, 0, opaque)


def go_away(code: int) -> bytes:
    return raw(0, 3, 0, 0, code)


def parse(stream: bytes) -> list[tuple[int, int, int, bytes | int]]:
    """Cut a correct byte stream into (type, flags, stream id, body or length field)."""
    frames: list[tuple[int, int, int, bytes | int]] = []
    position = 0
    while position < len(stream):
        version, kind, flags, stream_id, length = struct.unpack_from(">BBHII", stream, position)
        assert version == 0
        position += 12
        if kind == 0:
            frames.append((0, flags, stream_id, stream[position : position + length]))
            assert len(frames[-1][3]) == length
            position += length
        else:
            frames.append((kind, flags, stream_id, length))
    return frames
