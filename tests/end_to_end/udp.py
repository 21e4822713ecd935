"""A SOCKS client that asks for UDP, datagram targets, and a forwarder for programs that know no SOCKS."""

import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.end_to_end.network import PATIENCE_SECONDS, address_field, receive_exactly, socks_request

ASSOCIATE = 3


class Client:
    """An association: a TCP connection, and a socket for datagrams. ``reply`` is what was answered to the request."""

    def __init__(
        self,
        clients_port: int,
        *,
        host: str = "127.0.0.1",
        announce: bool = False,
        seconds: float = PATIENCE_SECONDS,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.datagrams = socket.socket(family, socket.SOCK_DGRAM)
        self.datagrams.bind((host, 0))
        self.datagrams.settimeout(seconds)
        self.control = socket.create_connection((host, clients_port), seconds)
        self.control.sendall(b"\x05\x01\x00")
        assert receive_exactly(self.control, 2) == b"\x05\x00"
        announced = self.datagrams.getsockname()[:2] if announce else ("0.0.0.0", 0)
        self.control.sendall(socks_request(*announced, command=ASSOCIATE))
        version, self.reply, reserved, kind = receive_exactly(self.control, 4)
        assert (version, reserved) == (5, 0)
        packed = receive_exactly(self.control, {1: 4, 4: 16}[kind])
        (port,) = struct.unpack("!H", receive_exactly(self.control, 2))
        self.relay = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, packed), port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.control.close()
        self.datagrams.close()

    def send(self, payload: bytes, host: str, port: int) -> None:
        self.datagrams.sendto(enveloped(payload, host, port), self.relay)

    def receive(self) -> tuple[bytes, tuple[str, int]]:
        """The next datagram, and whom it came from."""
        data = self.datagrams.recv(65_535)
        assert data[:3] == b"\0\0\0"
        family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[data[3]]
        (port,) = struct.unpack("!H", data[4 + size : 6 + size])
        return data[6 + size :], (socket.inet_ntop(family, data[4 : 4 + size]), port)

    def ask(self, payload: bytes, host: str, port: int) -> bytes:
        """Send a datagram; the answer to it."""
        self.send(payload, host, port)
        return self.receive()[0]


def enveloped(payload: bytes, host: str, port: int) -> bytes:
    """A datagram as a SOCKS client sends it (RFC 1928, section 7)."""
    return b"\0\0\0" + address_field(host) + struct.pack("!H", port) + payload


class Target:
    """A UDP server on loopback; what ``serve`` makes of a datagram is the answer (None: no answer)."""

    def __init__(self, serve: Callable[[bytes], bytes | None] = bytes, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._serve = serve
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.received: list[tuple[bytes, tuple[str, int]]] = []
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        # close() alone leaves a blocked recvfrom() sleeping; an empty datagram from here wakes it
        self._serve = lambda _: None
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.host, self.port))
        self._thread.join(PATIENCE_SECONDS)
        self._socket.close()

    def _answer(self) -> None:
        serve = self._serve
        while self._serve is serve:
            payload, source = self._socket.recvfrom(65_535)
            self.received.append((payload, source[:2]))
            answer = self._serve(payload)
            if answer is not None:
                self._socket.sendto(answer, source)


class Forwarder:
    """A local UDP port whose datagrams go to one target through an association, and the answers back."""

    def __init__(self, clients_port: int, host: str, port: int) -> None:
        self._client = Client(clients_port)
        self._target = host, port
        self._local = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._local.bind(("127.0.0.1", 0))
        self._user: tuple[str, int] = ("", 0)
        self.port: int = self._local.getsockname()[1]
        for work in (self._up, self._down):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()
        self._local.close()

    def _up(self) -> None:
        try:
            while True:
                payload, self._user = self._local.recvfrom(65_535)
                self._client.send(payload, *self._target)
        except OSError:
            return

    def _down(self) -> None:
        try:
            while True:
                payload, _ = self._client.receive()
                self._local.sendto(payload, self._user)
        except OSError:
            return


def unused_port(host: str = "127.0.0.1") -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether some program of this machine has the UDP port, as ``ss -lun`` tells."""
    for table in ("udp", "udp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            if int(line.split()[1].rsplit(":", 1)[1], 16) == port:
                return True
    return False
