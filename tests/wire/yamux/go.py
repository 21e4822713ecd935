"""Runs the Go peer and drives a session of ours toward it over a loopback socket."""

import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from socksfusion.wire.yamux import DataReceived, Event, Session

SOURCE = Path(__file__).with_name("go_peer")
READ_BYTES = 256 * 1024
SECONDS = 60.0


def build(folder: Path) -> Path:
    """Build the peer; skips with a reason where there is no Go or the module cannot be had."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("hashicorp/yamux: there is no Go on this machine")
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off"}
    fetched = subprocess.run([go, "mod", "download"], cwd=SOURCE, env=environment, capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"hashicorp/yamux cannot be fetched: {fetched.stderr.strip()}")
    program = folder / "go_peer"
    subprocess.run([go, "build", "-o", str(program), "."], cwd=SOURCE, env=environment, check=True)
    return program


class Wire:
    """A session on a socket, with a loop that runs until a condition holds."""

    def __init__(self, connection: socket.socket, session: Session) -> None:
        self.session = session
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = self.note
        self.ended = False
        self._socket = connection
        self._unsent = memoryview(b"")
        connection.setblocking(False)

    def note(self, event: Event) -> None:
        """Keep an event and consume what it brings."""
        if isinstance(event, DataReceived):
            event.stream.consumed(len(event.data), time.monotonic())
        self.events.append(event)

    def received(self, stream_id: int) -> bytes:
        """What came on a stream and was noted."""
        return b"".join(
            event.data for event in self.events if isinstance(event, DataReceived) and event.stream.id == stream_id
        )

    def run(self, until: Callable[[], bool]) -> None:
        """Carry bytes until the condition holds or the peer has closed."""
        deadline = time.monotonic() + SECONDS
        while not until() and not self.ended:
            assert time.monotonic() < deadline, "the peer does not get on"
            wants = bool(self._unsent) or self.session.wants_to_send
            readable, writable, _ = select.select([self._socket], [self._socket] if wants else [], [], 1.0)
            if readable:
                self._read()
            if writable:
                self._write()

    def flush(self) -> None:
        """Write until nothing waits that could be sent."""
        self.run(lambda: not self._unsent and not self.session.wants_to_send)

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
        for event in self.session.receive_data(data, time.monotonic()):
            self.on_event(event)

    def _write(self) -> None:
        if not self._unsent:
            self._unsent = memoryview(b"".join(self.session.data_to_send(READ_BYTES)))
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BrokenPipeError, ConnectionResetError):
            self.ended = True


class Peer:
    """The running program, and our end of its connection."""

    def __init__(self, process: "subprocess.Popen[str]", connection: socket.socket) -> None:
        self.process = process
        self.connection = connection

    def wire(self, *, client: bool) -> Wire:
        """Begin a session on the connection."""
        return Wire(self.connection, Session(client=client, now=time.monotonic()))

    def finish(self, wire: Wire) -> None:
        """Run until the peer has closed the connection; it must be content."""
        wire.run(lambda: False)
        output, errors = self.process.communicate(timeout=SECONDS)
        assert (output.strip(), self.process.returncode) == ("ok", 0), errors


@contextmanager
def running(program: Path, *arguments: str) -> Iterator[Peer]:
    """Start the peer, which dials a listener of ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        listener.settimeout(SECONDS)
        process = subprocess.Popen(
            [str(program), f"{host}:{port}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            connection, _ = listener.accept()
            with connection:
                yield Peer(process, connection)
        finally:
            process.kill()
            process.communicate()
