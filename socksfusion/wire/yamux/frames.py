"""The 12-byte yamux header: version, type, flags, stream id, length, in network order (spec.md, "Framing")."""

import struct
from enum import IntEnum
from typing import Final

VERSION: Final = 0

DATA: Final = 0
WINDOW_UPDATE: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8
KNOWN_FLAGS: Final = SYN | ACK | FIN | RST

LARGEST_CREDIT: Final = 2**32 - 1
"""What the length field of a window update can say, and the most that a sender can ever be granted."""
LAST_STREAM_ID: Final = 2**31
"""Stream ids that we give end below this, half of what the field holds: the session is then due for renewal."""

HEADER: Final = struct.Struct("!BBHII")
HEADER_BYTES: Final = HEADER.size

_pack = HEADER.pack


class GoAwayCode(IntEnum):
    """Why a session ends (spec.md, "Session termination")."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


def encode_header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """Return one header; by ``kind``, ``length`` is a body's bytes, a credit, a ping's opaque value or a code."""
    return _pack(VERSION, kind, flags, stream_id, length)
