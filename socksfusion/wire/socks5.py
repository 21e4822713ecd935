"""The vocabulary of SOCKS5 (RFC 1928): methods, commands, address types, reply codes, addresses.

The replies are more than SOCKS: one table for every protocol that a Client may speak, for logs and for scans' records.
"""

import socket
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

VERSION: Final = 5
_UNSPECIFIED: Final = b"\x01\x00\x00\x00\x00"


class Method(IntEnum):
    """Authentication methods (section 3)."""

    NO_AUTHENTICATION = 0x00
    LOGIN = 0x02
    """User name and password (RFC 1929)."""
    NONE_ACCEPTABLE = 0xFF


class Command(IntEnum):
    """Commands of a request (section 4)."""

    CONNECT = 1
    BIND = 2
    UDP_ASSOCIATE = 3


class AddressKind(IntEnum):
    """Address types (section 5)."""

    IPV4 = 1
    NAME = 3
    IPV6 = 4


class Reply(IntEnum):
    """Reply codes (section 6); beside each what it tells the one who scans."""

    SUCCEEDED = 0
    """open"""
    GENERAL_FAILURE = 1
    """not tested: the reason lies on our side"""
    NOT_ALLOWED = 2
    """denied by a policy"""
    NETWORK_UNREACHABLE = 3
    """unreachable"""
    HOST_UNREACHABLE = 4
    """unreachable, or the name was not found"""
    REFUSED = 5
    """closed"""
    TTL_EXPIRED = 6
    """filtered: no answer in time"""
    COMMAND_NOT_SUPPORTED = 7
    """a command that is not served, such as BIND"""
    ADDRESS_NOT_SUPPORTED = 8
    """an address type that RFC 1928 does not have"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Client wants to go, as it asked."""

    host: str
    """An address in its usual spelling (IPv6 without brackets), or the name: 1 to 253 bytes of UTF-8 without NUL."""
    port: int
    """Port, 0 to 65535."""
    kind: AddressKind
    """How the Client spelled ``host``."""


def address_of(host: str, port: int) -> Address:
    """``host`` and ``port`` as an address, of the kind that ``host`` looks like."""
    for kind, family in ((AddressKind.IPV4, socket.AF_INET), (AddressKind.IPV6, socket.AF_INET6)):
        try:
            return Address(socket.inet_ntop(family, socket.inet_pton(family, host)), port, kind)
        except (OSError, ValueError):
            continue
    return Address(host, port, AddressKind.NAME)


def encode_bound(host: str, port: int) -> bytes:
    """Address type, address and port (section 6) of an IP address; anything else in ``host`` is told as 0.0.0.0."""
    return _encode_literal(host) + port.to_bytes(2, "big")


def _encode_literal(host: str) -> bytes:
    for kind, family in ((b"\x01", socket.AF_INET), (b"\x04", socket.AF_INET6)):
        try:
            return kind + socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
    return _UNSPECIFIED
