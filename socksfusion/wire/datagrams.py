"""Datagrams in two envelopes, sans-IO: the header that a Client puts before each of its own (RFC 1928, section 7), and
the records in which they cross a stream (docs/protocol.md, section 7).

A fault in a Client's datagram concerns that datagram alone; after one in a record nobody knows where the next begins.
"""

import socket
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NoReturn

from socksfusion import limits
from socksfusion.wire.socks5 import AddressKind

LENGTH_BYTES: Final = 2
"""The length that precedes each record, big-endian, not counting itself."""
LARGEST_RECORD_BYTES: Final = 0xFFFF
"""What that length can say: kind, address and payload."""
LARGEST_PAYLOAD_BYTES: Final = 65_507
"""Of a UDP datagram over IPv4 (RFC 768 in RFC 791); a Client's header is part of that."""

_RESERVED: Final = b"\x00\x00"
_WHOLE: Final = 0
_FAMILIES: Final = ((AddressKind.IPV4, socket.AF_INET, 4), (AddressKind.IPV6, socket.AF_INET6, 16))


class Kind(IntEnum):
    """What a record says. A reader skips kinds that it does not know."""

    DATAGRAM = 0
    """A datagram to the address, or from it."""
    UNDELIVERED = 1
    """Agent to Proxy: a datagram to the address came to nothing; the payload is the code of a reply (RFC 1928, section
    6) in one byte, then the reason for people in UTF-8, which may be empty."""


_KINDS: Final = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Datagram:
    """A payload with the address that it goes to, or came from."""

    host: str
    """An IPv4 or IPv6 literal, or a name of 1 to 253 bytes."""
    port: int
    """UDP port, 1 to 65535."""
    payload: bytes
    """May be empty."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a stream."""

    kind: Kind
    datagram: Datagram


class DatagramError(Exception):
    """A datagram or record is malformed; the text says how.

    ``rule`` is one of a fixed set: ``udp-header``, ``udp-fragment``, ``udp-host``, ``udp-port``, ``udp-length``.
    """

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why)
        self.rule = rule


def decode_datagram(data: bytes) -> Datagram:
    """What a Client sent to its relay (RFC 1928, section 7).

    :raises DatagramError: it is malformed, or a fragment.
    """
    if len(data) < 4:
        raise DatagramError("udp-header", f"datagram of {len(data)} bytes is shorter than its header")
    if data[:2] != _RESERVED:
        raise DatagramError("udp-header", f"reserved bytes are {data[:2].hex(' ')}, not 00 00")
    if data[2] != _WHOLE:
        raise DatagramError("udp-fragment", f"fragment {data[2]:#04x}: datagrams are relayed whole only")
    host, port, end = _read_address(data, 3)
    return Datagram(host, port, data[end:])


def encode_datagram(datagram: Datagram) -> bytes:
    """The same for a datagram to the Client.

    :raises DatagramError: it is longer with its header than a datagram may be.
    """
    data = _RESERVED + b"\x00" + encode_address(datagram.host, datagram.port) + datagram.payload
    if len(data) > LARGEST_PAYLOAD_BYTES:
        raise DatagramError("udp-length", f"{len(datagram.payload)} bytes and the header don't fit into one datagram")
    return data


def encode_record(kind: Kind, datagram: Datagram) -> bytes:
    """The record of ``datagram``, length and all.

    :raises DatagramError: it does not fit into one.
    """
    body = bytes((kind,)) + encode_address(datagram.host, datagram.port) + datagram.payload
    if len(body) > LARGEST_RECORD_BYTES:
        raise DatagramError("udp-length", f"{len(datagram.payload)} bytes and the address don't fit into one record")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class DatagramReader:
    """Cuts a stream into records; it holds back less than one of them.

    Driven by the network alone: :meth:`receive_data` with what came, in pieces of any size.
    """

    def __init__(self) -> None:
        self._buffer = b""

    def receive_data(self, data: bytes) -> list[Record]:
        """The records that ``data`` completes, those of unknown kinds left out.

        :raises DatagramError: one is malformed; those before it are lost, and the stream is of no use any more.
        """
        buffer = self._buffer + data if self._buffer else data
        records = []
        begin = 0
        while len(buffer) - begin >= LENGTH_BYTES:
            body = begin + LENGTH_BYTES
            end = body + int.from_bytes(buffer[begin:body], "big")
            if len(buffer) < end:
                break
            record = _decode_record(buffer[body:end])
            if record is not None:
                records.append(record)
            begin = end
        self._buffer = buffer[begin:]
        return records


def encode_address(host: str, port: int) -> bytes:
    """Address type, address and port, as RFC 1928 has them in sections 5 and 7."""
    for kind, family, _ in _FAMILIES:
        try:
            return bytes((kind,)) + socket.inet_pton(family, host) + port.to_bytes(2, "big")
        except (OSError, ValueError):
            continue
    name = host.encode("utf-8")
    return bytes((AddressKind.NAME, len(name))) + name + port.to_bytes(2, "big")


def _decode_record(body: bytes) -> Record | None:
    if not body:
        raise DatagramError("udp-header", "empty record")
    if body[0] not in _KINDS:
        return None
    host, port, end = _read_address(body, 1)
    return Record(Kind(body[0]), Datagram(host, port, body[end:]))


def _read_address(data: bytes, begin: int) -> tuple[str, int, int]:
    """Host and port of the address that begins with its type at ``begin``, and where it ends."""
    if len(data) <= begin + 1:
        _too_short(data)
    first = begin + 1
    for kind, family, size in _FAMILIES:
        if data[begin] == kind:
            end = first + size
            if len(data) < end + 2:
                _too_short(data)
            return socket.inet_ntop(family, data[first:end]), _read_port(data, end), end + 2
    if data[begin] != AddressKind.NAME:
        raise DatagramError("udp-header", f"address type {data[begin]:#04x}")
    end = first + 1 + data[first]
    if len(data) < end + 2:
        _too_short(data)
    return _read_name(data[first + 1 : end]), _read_port(data, end), end + 2


def _read_port(data: bytes, begin: int) -> int:
    port = int.from_bytes(data[begin : begin + 2], "big")
    if not port:
        raise DatagramError("udp-port", "there is no UDP port 0")
    return port


def _read_name(name: bytes) -> str:
    if not name or len(name) > limits.HOST_NAME_BYTES or 0 in name:
        raise DatagramError("udp-host", f"host name of {len(name)} bytes is empty, too long or has a NUL byte")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise DatagramError("udp-host", "host name that is not UTF-8") from None


def _too_short(data: bytes) -> NoReturn:
    raise DatagramError("udp-header", f"{len(data)} bytes end within the address")
