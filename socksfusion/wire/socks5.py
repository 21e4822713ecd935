"""The server's side of a SOCKS5 connection up to its reply (RFC 1928), sans-IO.

The result does not depend on how the Client's bytes are cut: what a first byte looks like is told from that byte alone,
and an error is found only when the message that holds it is whole (or can't be measured).
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, TypeAlias

from socksfusion import limits

VERSION: Final = 5
_UNSPECIFIED: Final = b"\x01\x00\x00\x00\x00"


class Method(IntEnum):
    """Authentication methods (RFC 1928, section 3)."""

    NO_AUTHENTICATION = 0x00
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
    """a command other than CONNECT"""
    ADDRESS_NOT_SUPPORTED = 8
    """an address type that RFC 1928 does not have"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Client wants to go, as it asked."""

    host: str
    """An address in its usual spelling (IPv6 without brackets), or the name: 1 to 253 bytes of UTF-8 without NUL."""
    port: int
    """TCP port, 0 to 65535."""
    kind: AddressKind
    """How the Client spelled ``host``."""


@dataclass(frozen=True, slots=True)
class GreetingReceived:
    """The Client told its authentication methods, and one of them was chosen."""

    methods: bytes
    """The methods, one a byte."""


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """The request is whole and can be served; :meth:`ServerConnection.reply` is due."""

    command: Command
    """What to do."""
    address: Address
    """Where to."""


@dataclass(frozen=True, slots=True)
class ProtocolFailed:
    """The Client broke the protocol or asked for what is not served; nothing more is read.

    The reply, if RFC 1928 has one for it, waits in :meth:`ServerConnection.data_to_send`; after it the caller closes.
    """

    rule: str
    """What was broken, one of a fixed set: ``socks-version``, ``socks-method``, ``socks-command`` and so on."""
    why: str
    """The same for people."""


Event: TypeAlias = GreetingReceived | RequestReceived | ProtocolFailed


class _Failure(Exception):
    def __init__(self, rule: str, why: str, answer: bytes = b"") -> None:
        super().__init__(why)
        self.event = ProtocolFailed(rule, why)
        self.answer = answer


class _State(Enum):
    GREETING = 1
    REQUEST = 2
    SERVED = 3
    FAILED = 4


class ServerConnection:
    """One Client's negotiation.

    Driven by two sources: the network (:meth:`receive_data`), and the caller who tells how the request ended
    (:meth:`reply`). After each, :meth:`data_to_send` has what must go to the Client.
    """

    def __init__(self) -> None:
        self._state = _State.GREETING
        self._buffer = b""
        self._to_send = b""
        self._early: bytearray | None = None

    def receive_data(self, data: bytes) -> list[Event]:
        """Take what came; never raises. After the request everything is early data."""
        events: list[Event] = []
        if self._state is _State.SERVED:
            self._keep(data)
            return events
        if self._state is _State.FAILED:
            return events
        self._buffer += data
        try:
            if self._state is _State.GREETING and (greeting := self._read_greeting()) is not None:
                events.append(greeting)
            if self._state is _State.REQUEST and (request := self._read_request()) is not None:
                events.append(request)
        except _Failure as failure:
            self._state = _State.FAILED
            self._buffer = b""
            self._to_send += failure.answer
            events.append(failure.event)
        return events

    def data_to_send(self) -> bytes:
        """What the Client must be sent now; each byte is given once."""
        data, self._to_send = self._to_send, b""
        return data

    def reply(self, code: Reply, host: str = "", port: int = 0) -> None:
        """Answer the request. ``host`` and ``port`` are the bound address: a literal, else it is told as 0.0.0.0."""
        self._to_send += _encode_reply(code, host, port)

    @property
    def early_data(self) -> bytes:
        """What the Client has sent after its request."""
        return bytes(self._early) if self._early is not None else b""

    @property
    def early_room(self) -> int:
        """Bytes of early data that may still come; at 0 the caller stops reading."""
        return limits.EARLY_DATA_BYTES - (len(self._early) if self._early is not None else 0)

    def _keep(self, data: bytes) -> None:
        if self._early is None:
            self._early = bytearray(data)
        else:
            self._early += data

    def _read_greeting(self) -> GreetingReceived | None:
        """Section 3: version, number of methods, methods."""
        buffer = self._buffer
        if not buffer:
            return None
        if buffer[0] != VERSION:
            raise _Failure("socks-version", f"looks like {_looks_like(buffer[0])}, not SOCKS5")
        if len(buffer) < 2 or len(buffer) < (end := 2 + buffer[1]):
            return None
        methods = buffer[2:end]
        if Method.NO_AUTHENTICATION not in methods:
            raise _Failure(
                "socks-method",
                f"offers methods {methods.hex(' ') or 'none'}, only 00 (no authentication) is served",
                bytes((VERSION, Method.NONE_ACCEPTABLE)),
            )
        self._buffer = buffer[end:]
        self._to_send += b"\x05\x00"
        self._state = _State.REQUEST
        return GreetingReceived(methods)

    def _read_request(self) -> RequestReceived | None:
        """Section 4: version, command, reserved, address type, address, port."""
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            raise _Failure("socks-order", f"request begins with {buffer[0]:#04x}, not with version 5")
        if len(buffer) < 4:
            return None
        read_host = _HOST_READERS.get(buffer[3])
        if read_host is None:
            raise _refused("socks-address", f"address type {buffer[3]:#04x}", Reply.ADDRESS_NOT_SUPPORTED)
        size = _host_size(buffer)
        if size is None or len(buffer) < size + 6:
            return None
        if buffer[2] != 0:
            raise _refused("socks-reserved", f"reserved byte is {buffer[2]:#04x}, not 0", Reply.GENERAL_FAILURE)
        if buffer[1] != Command.CONNECT:
            raise _refused("socks-command", f"command {buffer[1]:#04x} is not served", Reply.COMMAND_NOT_SUPPORTED)
        host = read_host(buffer[4 : 4 + size])
        port = int.from_bytes(buffer[4 + size : 6 + size], "big")
        if len(buffer) > size + 6:
            self._keep(buffer[size + 6 :])
        self._buffer = b""
        self._state = _State.SERVED
        return RequestReceived(Command.CONNECT, Address(host, port, AddressKind(buffer[3])))


def _host_size(request: bytes) -> int | None:
    """Bytes of the address field, a name's length byte and all; None while that byte is missing."""
    if request[3] == AddressKind.IPV4:
        return 4
    if request[3] == AddressKind.IPV6:
        return 16
    return 1 + request[4] if len(request) > 4 else None


def _read_ipv4(field: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET, field)


def _read_ipv6(field: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6, field)


def _read_name(field: bytes) -> str:
    name = field[1:]
    if not name:
        raise _refused("socks-host", "empty host name", Reply.GENERAL_FAILURE)
    if len(name) > limits.HOST_NAME_BYTES:
        raise _refused("socks-host", f"host name of {len(name)} bytes", Reply.GENERAL_FAILURE)
    if 0 in name:
        raise _refused("socks-host", "host name with a NUL byte", Reply.GENERAL_FAILURE)
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("socks-host", "host name that is not UTF-8", Reply.GENERAL_FAILURE) from None


_HOST_READERS: Final[dict[int, Callable[[bytes], str]]] = {
    AddressKind.IPV4: _read_ipv4,
    AddressKind.NAME: _read_name,
    AddressKind.IPV6: _read_ipv6,
}


def _refused(rule: str, why: str, code: Reply) -> _Failure:
    return _Failure(rule, why, _encode_reply(code, "", 0))


def _encode_reply(code: Reply, host: str, port: int) -> bytes:
    return bytes((VERSION, code, 0)) + _encode_bound(host) + port.to_bytes(2, "big")


def _encode_bound(host: str) -> bytes:
    for kind, family in ((b"\x01", socket.AF_INET), (b"\x04", socket.AF_INET6)):
        try:
            return kind + socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
    return _UNSPECIFIED


def _looks_like(first: int) -> str:
    if first == 0x16:
        return "a TLS ClientHello"
    if first == 0x04:
        return "a SOCKS4 request"
    if first == ord("S"):
        return "an SSH banner"
    if chr(first) in "CDGHOPT":  # CONNECT, DELETE, GET, HEAD, OPTIONS, POST, PUT, PATCH, TRACE
        return "an HTTP request"
    return f"an unknown protocol (first byte {first:#04x})"
