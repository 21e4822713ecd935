"""How deep a MessagePack value nests, found without building it (the decoder recurses, this does not).

Source: the MessagePack specification, section "Formats" (github.com/msgpack/msgpack, spec.md).
"""

from typing import Final

_CONTAINERS: Final = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_NOT_CONTAINERS: Final = bytes(set(range(256)) - set(_CONTAINERS))
_FIRST_COUNTED: Final = 0xDC

# first byte -> bytes of the value that follow it, from 0xca: float 32 and 64, uint 8 to 64, int 8 to 64, fixext 1 to 16
_FIXED_SIZE: Final = dict(enumerate((4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17), start=0xCA))
# first byte -> (bytes of the length that follows, bytes beside the counted ones): bin, ext and str of 8, 16, 32 bits
_COUNTED_SIZE: Final = {
    **dict(enumerate(((1, 0), (2, 0), (4, 0), (1, 1), (2, 1), (4, 1)), start=0xC4)),
    **dict(enumerate(((1, 0), (2, 0), (4, 0)), start=0xD9)),
}
# first byte -> (bytes of the count that follows, values an entry)
_COUNTED_CONTAINERS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def nests_too_deep(body: bytes, limit: int) -> bool:
    """Whether containers in ``body`` lie deeper than ``limit`` or promise more values than ``body`` has bytes.

    What is malformed in another way is left to the decoder: the answer for it is False.
    """
    # most messages hold no more bytes that could open a container than may be nested, and need no closer look
    containers = body.translate(None, _NOT_CONTAINERS)
    if len(containers) <= limit and (not containers or max(containers) < _FIRST_COUNTED):
        return False
    return _walk(body, limit)


def _walk(body: bytes, limit: int) -> bool:
    position = 0
    left = [1]  # values still to come, a level a number; the lowest is the whole
    while position < len(body):
        while left and not left[-1]:
            left.pop()
        if not left:
            return False
        left[-1] -= 1
        values, size = _measure(body, position)
        position += size
        if values:
            left.append(values)
            if len(left) - 1 > limit or values > len(body) - position:
                return True
    return False


def _measure(body: bytes, position: int) -> tuple[int, int]:
    """(values inside, bytes before the next value) of the value that starts at ``position``."""
    first = body[position]
    if 0x80 <= first <= 0x8F:
        return 2 * (first & 0x0F), 1
    if 0x90 <= first <= 0x9F:
        return first & 0x0F, 1
    if 0xA0 <= first <= 0xBF:
        return 0, 1 + (first & 0x1F)
    if first in _COUNTED_CONTAINERS:
        width, per_entry = _COUNTED_CONTAINERS[first]
        return per_entry * int.from_bytes(body[position + 1 : position + 1 + width], "big"), 1 + width
    if first in _COUNTED_SIZE:
        width, extra = _COUNTED_SIZE[first]
        return 0, 1 + width + extra + int.from_bytes(body[position + 1 : position + 1 + width], "big")
    return 0, 1 + _FIXED_SIZE.get(first, 0)
