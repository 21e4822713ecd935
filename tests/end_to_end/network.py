"""Targets and a SOCKS5 client on raw sockets, for tests that look at every byte."""

import socket
import struct
import threading
from collections.abc import Callable
from typing import Self, TypeAlias

PATIENCE_SECONDS = 30.0


class Target:
    """A TCP server on loopback; ``serve`` is called with each connection in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None], host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, port))
        self._listener.listen(1024)
        self._serve = serve
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        # close() alone leaves a blocked accept() sleeping
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except OSError:
                pass


def echo(connection: socket.socket) -> None:
    """Send back what comes, until its end."""
    while data := connection.recv(65536):
        connection.sendall(data)


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """``size`` bytes; EOFError where the end comes first."""
    received = bytearray()
    while len(received) < size:
        data = connection.recv(size - len(received))
        if not data:
            raise EOFError(f"{len(received)} of {size} bytes")
        received += data
    return bytes(received)


def address_field(host: str) -> bytes:
    """A SOCKS5 address (RFC 1928, section 5): IPv4, IPv6 or a name."""
    for kind, family in ((b"\x01", socket.AF_INET), (b"\x04", socket.AF_INET6)):
        try:
            return kind + socket.inet_pton(family, host)
        except OSError:
            pass
    name = host.encode()
    return b"\x03" + bytes([len(name)]) + name


def socks_request(host: str, port: int, command: int = 1) -> bytes:
    """A SOCKS5 request (RFC 1928, section 4)."""
    return b"\x05" + bytes([command]) + b"\x00" + address_field(host) + struct.pack("!H", port)


def socks_ask(clients_port: int, host: str, port: int) -> socket.socket:
    """A Client that has asked for a connection and has not read the reply."""
    connection = socket.create_connection(("127.0.0.1", clients_port), PATIENCE_SECONDS)
    connection.sendall(b"\x05\x01\x00")
    assert receive_exactly(connection, 2) == b"\x05\x00"
    connection.sendall(socks_request(host, port))
    return connection


Login: TypeAlias = tuple[str, str]
"""User name and password (RFC 1929)."""


def socks_greet(
    clients_port: int, login: Login | None = None, *, seconds: float = PATIENCE_SECONDS, source: str = ""
) -> socket.socket:
    """A Client that has greeted the Proxy's SOCKS port, and logged in there; PermissionError where that is refused.

    ``source`` is its own address, such as 127.0.0.2.
    """
    connection = socket.create_connection(("127.0.0.1", clients_port), seconds, (source, 0))
    method = 0 if login is None else 2
    connection.sendall(bytes([5, 1, method]))
    if receive_exactly(connection, 2) != bytes([5, method]):
        connection.close()
        raise PermissionError("it takes no Client without a login")
    if login is not None:
        user, password = (text.encode() for text in login)
        connection.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        version, status = receive_exactly(connection, 2)
        assert version == 1
        if status:
            with connection:
                assert connection.recv(1) == b"", "the connection of a refused Client is closed (RFC 1929)"
            raise PermissionError(f"status {status}")
    return connection


def socks_open(
    clients_port: int,
    host: str,
    port: int,
    *,
    early_data: bytes = b"",
    seconds: float = PATIENCE_SECONDS,
    login: Login | None = None,
) -> tuple[int, socket.socket]:
    """Ask the Proxy's SOCKS port for a connection: the reply code and the socket."""
    connection = socks_greet(clients_port, login, seconds=seconds)
    connection.sendall(socks_request(host, port) + early_data)
    return socks_reply(connection), connection


def socks_reply(connection: socket.socket) -> int:
    """The code of the reply to a request."""
    version, reply, reserved, kind = receive_exactly(connection, 4)
    assert (version, reserved) == (5, 0)
    receive_exactly(connection, {1: 4, 4: 16}[kind] + 2)
    return reply


def socks_connect(
    clients_port: int, host: str, port: int, *, early_data: bytes = b"", login: Login | None = None
) -> socket.socket:
    """As ``socks_open``, for what must succeed."""
    reply, connection = socks_open(clients_port, host, port, early_data=early_data, login=login)
    assert reply == 0, f"reply {reply}"
    return connection


def reset(connection: socket.socket) -> None:
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def was_reset(connection: socket.socket) -> bool:
    """Read on to the end: whether that is RST, not FIN."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False
