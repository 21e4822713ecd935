"""The server's side of a SOCKS5 connection up to its reply (RFC 1928, with the login of RFC 1929), sans-IO."""

import socket
from collections.abc import Callable
from typing import Final

from socksfusion import limits
from socksfusion.wire.socks5 import VERSION, Address, AddressKind, Command, Method, Reply, encode_bound
from socksfusion.wire.way_in import Event, Failure, GreetingReceived, LoginReceived, RequestReceived, WayIn

_LOGIN_VERSION: Final = 1
_SERVED: Final = frozenset((Command.CONNECT, Command.UDP_ASSOCIATE))


class ServerConnection(WayIn):
    """One Client's negotiation. A Client that offers a login is asked for it, also where none is ``login_required``."""

    def __init__(self, *, login_required: bool = False) -> None:
        super().__init__()
        self._login_required = login_required
        self._next_message: Callable[[ServerConnection], Event | None] = ServerConnection._read_greeting

    def reply(self, code: Reply, host: str = "", port: int = 0, detail: str = "") -> None:
        """Section 6; ``host`` that is no IP address is told as 0.0.0.0, and ``detail`` has no place."""
        self._to_send += _encode_reply(code, host, port)

    def _next(self) -> Event | None:
        return self._next_message(self)

    def _login_answer(self, accepted: bool) -> bytes:
        return bytes((_LOGIN_VERSION, not accepted))

    def _read_greeting(self) -> GreetingReceived | None:
        """Section 3: version, number of methods, methods."""
        buffer = self._buffer
        if len(buffer) < 2 or len(buffer) < (end := 2 + buffer[1]):
            return None
        methods = buffer[2:end]
        self._buffer = buffer[end:]
        if Method.LOGIN in methods:
            self._to_send += bytes((VERSION, Method.LOGIN))
            self._next_message = ServerConnection._read_login
        elif Method.NO_AUTHENTICATION in methods and not self._login_required:
            self._to_send += bytes((VERSION, Method.NO_AUTHENTICATION))
            self._next_message = ServerConnection._read_request
        else:
            wanted = "02 (user name and password)" if self._login_required else "00 (no authentication) or 02 (login)"
            raise Failure(
                "socks-method",
                f"offers methods {methods.hex(' ') or 'none'}, served is {wanted}",
                bytes((VERSION, Method.NONE_ACCEPTABLE)),
            )
        return GreetingReceived(methods)

    def _read_login(self) -> LoginReceived | None:
        """RFC 1929, section 2: version, length, user name, length, password."""
        buffer = self._buffer
        if buffer and buffer[0] != _LOGIN_VERSION:
            raise Failure("socks-order", f"login begins with {buffer[0]:#04x}, not with version 1")
        if len(buffer) < 2 or len(buffer) < (middle := 2 + buffer[1]) + 1:
            return None
        if len(buffer) < (end := middle + 1 + buffer[middle]):
            return None
        self._buffer = buffer[end:]
        self._next_message = ServerConnection._read_request
        return LoginReceived(buffer[2:middle], buffer[middle + 1 : end])

    def _read_request(self) -> RequestReceived | None:
        """Section 4: version, command, reserved, address type, address, port."""
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            raise Failure("socks-order", f"request begins with {buffer[0]:#04x}, not with version 5")
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
        if buffer[1] not in _SERVED:
            raise _refused("socks-command", f"command {buffer[1]:#04x} is not served", Reply.COMMAND_NOT_SUPPORTED)
        host = read_host(buffer[4 : 4 + size])
        port = int.from_bytes(buffer[4 + size : 6 + size], "big")
        self._buffer = buffer[size + 6 :]
        return RequestReceived(Command(buffer[1]), Address(host, port, AddressKind(buffer[3])))


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


def _refused(rule: str, why: str, code: Reply) -> Failure:
    return Failure(rule, why, _encode_reply(code, "", 0))


def _encode_reply(code: Reply, host: str, port: int) -> bytes:
    return bytes((VERSION, code, 0)) + encode_bound(host, port)
