"""The header, against the figures of spec.md."""

import pytest

from socksfusion.wire.yamux.frames import HEADER_BYTES, GoAwayCode, encode_header


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        # spec.md: version 8 bits, type 8, flags 16, stream id 32, length 32, network order
        ((0x0, 0x1, 1, 5), "00 00 0001 00000001 00000005"),
        ((0x1, 0x2, 2, 262144), "00 01 0002 00000002 00040000"),
        ((0x1, 0x4, 0x01020304, 0), "00 01 0004 01020304 00000000"),
        ((0x1, 0x8, 3, 0), "00 01 0008 00000003 00000000"),
        ((0x2, 0x1, 0, 0xDEADBEEF), "00 02 0001 00000000 deadbeef"),
        ((0x3, 0x0, 0, 2), "00 03 0000 00000000 00000002"),
    ],
)
def test_header(fields: tuple[int, int, int, int], header: str) -> None:
    assert encode_header(*fields) == bytes.fromhex(header)


def test_header_is_12_bytes() -> None:
    assert HEADER_BYTES == 12


def test_go_away_codes() -> None:
    assert [int(code) for code in GoAwayCode] == [0, 1, 2]
