"""UDP sockets that a test plays by hand: what is sent is recorded, and the test says what comes back."""

import os
from typing import Any

from socksfusion.tunnel.udp import DatagramReceiver


class FakeSocket:
    """A connected socket."""

    def __init__(self, host: str, port: int, receiver: DatagramReceiver, source: str | None) -> None:
        self.address = host, port
        self.source = source
        self.sent: list[bytes] = []
        self.closed = False
        self.refuses: OSError | None = None
        self._receiver = receiver

    def send(self, payload: bytes) -> None:
        assert not self.closed
        if self.refuses is not None:
            raise self.refuses
        self.sent.append(payload)

    def close(self) -> None:
        self.closed = True

    def answer(self, payload: bytes) -> None:
        """A datagram comes from whom it is connected to."""
        self._receiver.datagram_received(payload, self.address)

    def fail(self, number: int) -> None:
        """The kernel tells what became of an earlier datagram."""
        self.closed = True
        self._receiver.socket_failed(OSError(number, os.strerror(number)))


class FakeUDP:
    """Every socket that was made, in order; ``unreachable`` are addresses to which the system has no way."""

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self.unreachable: dict[str, int] = {}

    def connect(self, reactor: Any, host: str, port: int, receiver: DatagramReceiver, source: str | None) -> Any:
        if host in self.unreachable:
            number = self.unreachable[host]
            raise OSError(number, os.strerror(number))
        self.sockets.append(FakeSocket(host, port, receiver, source))
        return self.sockets[-1]

    @property
    def open(self) -> list[FakeSocket]:
        return [socket for socket in self.sockets if not socket.closed]
