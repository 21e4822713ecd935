"""An Agent of the tests' own: TLS by Python's ssl, frames by the specification, and what a real one would not say."""

import socket
import ssl
import struct
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from socksfusion.identity.copy import AgentCopy
from tests.end_to_end.network import PATIENCE_SECONDS, receive_exactly

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8

HELLO = {"type": "hello", "protocol": 1, "minor": 0, "program": "raw/1", "features": [], "program_id": "raw"}


def frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    return struct.pack("!BBHII", 0, kind, flags, stream, length) + body


def record(message: object) -> bytes:
    """``message`` as MessagePack behind its length."""
    body = msgspec.msgpack.encode(message)
    return struct.pack("!H", len(body)) + body


class RawPeer:
    """One end of a session on a blocking socket; nothing is answered but by ``answers_pings`` and ``acks``.

    ``received`` is what came on each stream; ``acknowledged``, ``resets`` and ``ended`` are ids of streams; ``gone`` is
    the code of the other end's go-away.
    """

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self.answers_pings = True
        self.acks = True
        self.received: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.acknowledged: set[int] = set()
        self.resets: list[int] = []
        self.ended: list[int] = []
        self.gone: int | None = None
        self._settled = self._answered = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tls.close()

    def send(self, *frames: bytes) -> None:
        self.tls.sendall(b"".join(frames))

    def say(self, message: object, stream: int = 1) -> None:
        """Send a record on a stream."""
        body = record(message)
        self.send(frame(DATA, 0, stream, len(body), body))

    def next_record(self, stream: int = 1) -> dict[str, Any]:
        """The next record on a stream."""
        body = self.received[stream]
        self.read_until(lambda: len(body) >= 2 and len(body) >= 2 + int.from_bytes(body[:2], "big"))
        end = 2 + int.from_bytes(body[:2], "big")
        message: dict[str, Any] = msgspec.msgpack.decode(body[2:end])
        del body[:end]
        return message

    def next_stream(self) -> int:
        """Wait for a stream that the Proxy opens beside the control stream; the latest one's id."""
        self.read_until(lambda: max(self.received) > 1)
        return max(self.received)

    def settle(self) -> None:
        """Wait until the other end has dealt with all that was sent."""
        self._settled += 1
        self.send(frame(PING, SYN, 0, self._settled))
        self.read_until(lambda: self._answered >= self._settled)

    def read_until(self, met: Callable[[], bool]) -> None:
        """Take frames until ``met``; EOFError where the other end closes first."""
        while not met():
            self._take_frame()

    def read_to_the_end(self) -> None:
        """Take frames until the other end has closed."""
        try:
            self.read_until(lambda: False)
        except (EOFError, ConnectionResetError):
            pass

    def _take_frame(self) -> None:
        _, kind, flags, stream, length = struct.unpack("!BBHII", receive_exactly(self.tls, 12))
        if kind == PING and flags & SYN and self.answers_pings:
            self.send(frame(PING, ACK, 0, length))
        elif kind == PING and flags & ACK:
            self._answered = length
        elif kind == GO_AWAY:
            self.gone = length
        elif kind in (DATA, WINDOW_UPDATE):
            self.received[stream] += receive_exactly(self.tls, length) if kind == DATA else b""
            if flags & SYN and self.acks:
                self.send(frame(WINDOW_UPDATE, ACK, stream, 0))
            if flags & ACK:
                self.acknowledged.add(stream)
            if flags & FIN:
                self.ended.append(stream)
            if flags & RST:
                self.resets.append(stream)


class RawAgent(RawPeer):
    """The Agent of ``copy``."""

    def __init__(self, port: int, copy: Path, *, alpn: str = "socksfusion/1") -> None:
        raw = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        super().__init__(_context(AgentCopy.load(copy), alpn).wrap_socket(raw, server_hostname="localhost"))

    def hello(self, **changes: object) -> None:
        """Wait for the Proxy's hello and answer it."""
        assert self.next_record()["type"] == "hello"
        self.say({**HELLO, **changes})

    def serve(self, **changes: object) -> None:
        """Say hello and be welcomed."""
        self.hello(**changes)
        message = self.next_record()
        assert message["type"] == "welcome", message


def _context(copy: AgentCopy, alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=copy.ca_pem.decode())
    context.set_alpn_protocols([alpn])
    with tempfile.NamedTemporaryFile() as chain:
        chain.write(copy.certificate_pem + copy.key_pem)
        chain.flush()
        context.load_cert_chain(chain.name)
    return context
