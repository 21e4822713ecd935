"""The server's side of SOCKS4 and SOCKS4a up to its reply, sans-IO (described by memos of the 1990s, no RFC).

It has no password, and a user id that anybody may claim: it is not looked at.
"""

import socket
from typing import Final

from socksfusion import limits
from socksfusion.wire.socks5 import Address, AddressKind, Command, Reply
from socksfusion.wire.way_in import Event, Failure, RequestReceived, WayIn

VERSION: Final = 4
_GRANTED: Final = 0x5A
_REJECTED: Final = 0x5B
_HEAD_BYTES: Final = 8


class ServerConnection(WayIn):
    """One Client's request; with ``login_required`` each is rejected."""

    def __init__(self, *, login_required: bool = False) -> None:
        super().__init__()
        self._login_required = login_required

    def reply(self, code: Reply, host: str = "", port: int = 0, detail: str = "") -> None:
        """Granted or rejected: the protocol has no reasons. A bound IPv6 address is told as 0.0.0.0."""
        self._to_send += _encode_reply(_GRANTED if code == Reply.SUCCEEDED else _REJECTED, host, port)

    def _login_answer(self, accepted: bool) -> bytes:
        raise AssertionError("SOCKS4 has no login")

    def _next(self) -> Event | None:
        """Version, command, port, address, user id, NUL; with an address of 0.0.0.x also a name and NUL (SOCKS4a)."""
        buffer = self._buffer
        if len(buffer) < _HEAD_BYTES:
            return None
        end = _end_of_text(buffer, _HEAD_BYTES, limits.SOCKS4_USER_BYTES, "user id")
        if end is None:
            return None
        named = buffer[4:7] == b"\0\0\0" and buffer[7] != 0
        name_starts = end + 1
        if named:
            end = _end_of_text(buffer, name_starts, limits.HOST_NAME_BYTES, "host name")
            if end is None:
                return None
        if self._login_required:
            raise _rejected(
                "socks4-login", "asks by SOCKS4, which has no password; this port wants a login: use SOCKS5 or HTTP"
            )
        if buffer[1] != Command.CONNECT:
            raise _rejected("socks4-command", f"command {buffer[1]:#04x} is not served")
        if named:
            host, kind = _read_name(buffer[name_starts:end]), AddressKind.NAME
        else:
            host, kind = socket.inet_ntop(socket.AF_INET, buffer[4:8]), AddressKind.IPV4
        self._buffer = buffer[end + 1 :]
        return RequestReceived(Command.CONNECT, Address(host, int.from_bytes(buffer[2:4], "big"), kind))


def _end_of_text(buffer: bytes, start: int, largest: int, what: str) -> int | None:
    """Where the NUL behind a text of at most ``largest`` bytes stands; None while it is missing."""
    end = buffer.find(0, start, start + largest + 1)
    if end >= 0:
        return end
    if len(buffer) > start + largest:
        raise _rejected("socks4-text", f"{what} of more than {largest} bytes")
    return None


def _read_name(name: bytes) -> str:
    if not name:
        raise _rejected("socks4-host", "empty host name")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise _rejected("socks4-host", "host name that is not UTF-8") from None


def _rejected(rule: str, why: str) -> Failure:
    return Failure(rule, why, _encode_reply(_REJECTED, "", 0))


def _encode_reply(code: int, host: str, port: int) -> bytes:
    try:
        address = socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        address = bytes(4)
    return bytes((0, code)) + port.to_bytes(2, "big") + address
