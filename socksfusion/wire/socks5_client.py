"""The client's side of a SOCKS5 connection up to the reply (RFC 1928, and RFC 1929 for the login), sans-IO."""

import socket
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from socksfusion import limits

_VERSION: Final = 5
_LOGIN_VERSION: Final = 1
_NO_AUTHENTICATION: Final = 0
_LOGIN: Final = 2
_NONE_ACCEPTABLE: Final = 0xFF
_CONNECT: Final = 1
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4
_FIELD_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password (RFC 1929), 1 to 255 bytes of UTF-8 each; no ``repr`` shows either.

    Raises ``ValueError`` for other lengths.
    """

    user: str = field(repr=False)
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        for what, text in (("user name", self.user), ("password", self.password)):
            if not 1 <= len(text.encode()) <= _FIELD_BYTES:
                raise ValueError(f"a SOCKS5 {what} has 1 to {_FIELD_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Connected:
    """The server reports success; what follows is the target's."""

    host: str
    """The bound address that the server tells, an IP address or a name."""
    port: int
    """Its port."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server answered the request with another code than success."""

    code: int
    """The reply code (RFC 1928, section 6), as it came: 1 to 255."""


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The server takes no request from us."""

    why: str
    """The login is wrong, or the server wants one and has none, or wants another kind."""


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """What answers breaks the protocol."""

    why: str
    """How, in words."""


Event: TypeAlias = Connected | Refused | LoginRefused | ServerFailed


class _State(Enum):
    METHOD = 1
    LOGIN = 2
    REPLY = 3
    ENDED = 4


class _Broken(Exception):
    pass


class ClientConnection:
    """One connection to a SOCKS5 server, which asks it to connect to ``host`` and ``port``.

    ``host`` is an IP address or a name of 1 to 253 bytes; ``ValueError`` otherwise. With a ``login`` no other method is
    offered, so that the server can't ignore it, unless ``insist`` is False: then "no authentication" is offered too.

    Driven by one source, the network: :meth:`receive_data`; what :meth:`data_to_send` gives must go to the server, the
    first of it right after the construction. The first event is the only one.
    """

    def __init__(self, host: str, port: int, login: Login | None = None, *, insist: bool = True) -> None:
        self._request = bytes((_VERSION, _CONNECT, 0)) + _address(host) + port.to_bytes(2, "big")
        self._login = login
        methods = [_NO_AUTHENTICATION] if login is None else [_LOGIN] if insist else [_NO_AUTHENTICATION, _LOGIN]
        self._offered = bytes(methods)
        self._to_send = bytes((_VERSION, len(methods))) + self._offered
        self._buffer = b""
        self._state = _State.METHOD

    def receive_data(self, data: bytes) -> Event | None:
        """Take what came; never raises. After the event everything is the target's, and :attr:`rest` keeps it."""
        self._buffer += data
        if self._state is _State.ENDED:
            return None
        try:
            event = self._read()
        except _Broken as broken:
            event = ServerFailed(str(broken))
        if event is not None:
            self._state = _State.ENDED
        return event

    def data_to_send(self) -> bytes:
        """What the server must be sent now; each byte is given once."""
        data, self._to_send = self._to_send, b""
        return data

    @property
    def rest(self) -> bytes:
        """What came after the reply."""
        return self._buffer if self._state is _State.ENDED else b""

    def _read(self) -> Event | None:
        if self._state is _State.METHOD:
            event = self._read_method()
            if event is not None:
                return event
        if self._state is _State.LOGIN:
            event = self._read_login_status()
            if event is not None:
                return event
        return self._read_reply() if self._state is _State.REPLY else None

    def _read_method(self) -> Event | None:
        """RFC 1928, section 3: version, method."""
        if self._buffer and self._buffer[0] != _VERSION:
            raise _Broken(f"what answers is no SOCKS5 server (first byte {self._buffer[0]:#04x})")
        if len(self._buffer) < 2:
            return None
        method = self._buffer[1]
        if method == _NONE_ACCEPTABLE:
            return LoginRefused("it wants a login" if self._login is None else "it takes no login of this kind")
        if method not in self._offered:
            raise _Broken(f"the server chose method {method:#04x}, which was not offered")
        self._buffer = self._buffer[2:]
        if method == _LOGIN and self._login is not None:
            user, password = self._login.user.encode(), self._login.password.encode()
            self._to_send += bytes((_LOGIN_VERSION, len(user))) + user + bytes((len(password),)) + password
            self._state = _State.LOGIN
        else:
            self._to_send += self._request
            self._state = _State.REPLY
        return None

    def _read_login_status(self) -> Event | None:
        """RFC 1929, section 2: version of the sub-negotiation, status; 0 is success."""
        if len(self._buffer) < 2:
            return None
        # some servers answer with the version of SOCKS here; the status alone says how it went
        if self._buffer[0] not in (_LOGIN_VERSION, _VERSION):
            raise _Broken(f"the login's answer begins with {self._buffer[0]:#04x}")
        if self._buffer[1] != 0:
            return LoginRefused("the login is wrong")
        self._buffer = self._buffer[2:]
        self._to_send += self._request
        self._state = _State.REPLY
        return None

    def _read_reply(self) -> Event | None:
        """RFC 1928, section 6: version, reply, reserved, address type, bound address, port."""
        buffer = self._buffer
        if buffer and buffer[0] != _VERSION:
            raise _Broken(f"the reply begins with {buffer[0]:#04x}, not with version 5")
        if len(buffer) < 2:
            return None
        if buffer[1] != 0:
            # the code says all; some servers send no whole address after it
            return Refused(buffer[1])
        if len(buffer) < 5:
            return None
        start, size = _field(buffer)
        if len(buffer) < start + size + 2:
            return None
        host = _host(buffer[3], buffer[start : start + size])
        port = int.from_bytes(buffer[start + size : start + size + 2], "big")
        self._buffer = buffer[start + size + 2 :]
        return Connected(host, port)


def _address(host: str) -> bytes:
    for kind, family in ((_IPV4, socket.AF_INET), (_IPV6, socket.AF_INET6)):
        try:
            return bytes((kind,)) + socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
    name = host.encode()
    if not 1 <= len(name) <= limits.HOST_NAME_BYTES or 0 in name:
        raise ValueError(f"a host name has 1 to {limits.HOST_NAME_BYTES} bytes, none of them NUL")
    return bytes((_NAME, len(name))) + name


def _field(reply: bytes) -> tuple[int, int]:
    """Where the bound address begins and how long it is."""
    if reply[3] == _IPV4:
        return 4, 4
    if reply[3] == _IPV6:
        return 4, 16
    if reply[3] == _NAME:
        return 5, reply[4]
    raise _Broken(f"the reply has an address of type {reply[3]:#04x}")


def _host(kind: int, field: bytes) -> str:
    if kind == _NAME:
        return field.decode("utf-8", "backslashreplace")
    return socket.inet_ntop(socket.AF_INET if kind == _IPV4 else socket.AF_INET6, field)
