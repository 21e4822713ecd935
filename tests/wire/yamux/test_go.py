"""Against hashicorp/yamux, the reference implementation in Go, in both roles and with either side opening."""

import contextlib
import hashlib
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from socksfusion.wire.yamux import (
    DataReceived,
    Event,
    PingReplied,
    ResetReason,
    Session,
    SessionFailed,
    Stream,
    StreamEnded,
    StreamOpened,
    StreamReset,
    errors,
)
from tests.wire.yamux import frames, go
from tests.wire.yamux.sides import FLUSH

pytestmark = pytest.mark.tools

GIGABYTE = 1 << 30
GO_ROLES = {"client": "server", "server": "client"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go.build(tmp_path_factory.mktemp("go"))


@pytest.fixture(params=["client", "server"])
def role(request: pytest.FixtureRequest) -> str:
    """Ours."""
    return str(request.param)


@pytest.fixture
def serving(program: Path, role: str) -> Iterator[go.Wire]:
    """A session of ours with a peer that does what each stream's first byte says."""
    with go.running(program, GO_ROLES[role], "serve") as peer:
        yield peer.wire(client=role == "client")


def begin(wire: go.Wire, command: bytes) -> Stream:
    stream = wire.session.open_stream(time.monotonic())
    stream.send(command)
    return stream


def seen(wire: go.Wire, kind: type[Event], stream: Stream) -> bool:
    return any(isinstance(event, kind) and event.stream is stream for event in wire.events)  # type: ignore[union-attr]


# -- the frames themselves --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(program: Path) -> list[bytes]:
    """What hashicorp/yamux writes for: ping, open, "hello", close, go-away."""
    run = subprocess.run([str(program), "record"], capture_output=True, text=True, check=True)
    return [bytes.fromhex(line) for line in run.stdout.split()]


def test_we_read_its_frames(recorded: list[bytes]) -> None:
    session = Session(client=False, now=0.0)
    events = session.receive_data(b"".join(recorded), 0.0)
    assert [type(event).__name__ for event in events] == [
        "StreamOpened",
        "DataReceived",
        "StreamEnded",
        "GoAwayReceived",
    ]
    assert events[1] == DataReceived(session.streams[1], b"hello")


def test_we_write_its_frames(recorded: list[bytes]) -> None:
    session = Session(client=True, now=0.0)
    written = list(session.data_to_send(FLUSH))
    stream = session.open_stream(0.0)
    written += session.data_to_send(FLUSH)
    stream.send(b"hello")
    written += session.data_to_send(FLUSH)
    stream.end()
    written += session.data_to_send(FLUSH)
    session.go_away()
    written += session.data_to_send(FLUSH)
    assert written == recorded


# -- its side serves --------------------------------------------------------------------------------------------------


def test_echo(serving: go.Wire) -> None:
    stream = begin(serving, b"e")
    payload = random.Random(1).randbytes(1_000_000)
    stream.send(payload)
    stream.end()
    serving.run(lambda: seen(serving, StreamEnded, stream))
    assert serving.received(stream.id) == payload
    assert serving.session.take_ended() == [stream]
    assert any(isinstance(event, PingReplied) for event in serving.events)


def test_half_close(serving: go.Wire) -> None:
    stream = begin(serving, b"h")
    stream.send(b"question")
    stream.end()
    serving.run(lambda: seen(serving, StreamEnded, stream))
    assert serving.received(stream.id) == b"h" * (1 << 20)


def test_an_end_before_it_accepts(serving: go.Wire) -> None:
    streams = [serving.session.open_stream(time.monotonic()) for _ in range(50)]
    for stream in streams:
        stream.send(b"s")
        stream.end()
    serving.run(lambda: all(seen(serving, StreamEnded, stream) for stream in streams))
    assert serving.session.unacknowledged == 0
    assert {serving.received(stream.id) for stream in streams} == {hashlib.sha256(b"").hexdigest().encode()}


def test_its_reset_reaches_us(serving: go.Wire) -> None:
    stream = begin(serving, b"r")
    serving.run(lambda: seen(serving, StreamReset, stream))
    assert serving.events[-1] == StreamReset(stream, ResetReason.PEER)
    assert seen(serving, StreamEnded, stream)


def test_our_reset_stops_its_writer_and_nothing_else(serving: go.Wire) -> None:
    stream, other = begin(serving, b"g"), begin(serving, b"e")
    serving.run(lambda: len(serving.received(stream.id)) > 3_000_000)
    stream.reset()
    other.send(b"still here")
    other.end()
    serving.run(lambda: seen(serving, StreamEnded, other))
    assert serving.received(other.id) == b"still here"
    assert not serving.session.closed


def test_200_streams_at_once(serving: go.Wire) -> None:
    payloads = {}
    for seed in range(200):
        stream = begin(serving, b"e")
        payloads[stream] = random.Random(seed).randbytes(1 + seed * 500)
        stream.send(payloads[stream])
        stream.end()
    waiting = set(payloads)

    def note(event: Event) -> None:
        serving.note(event)
        if isinstance(event, StreamEnded):
            waiting.discard(event.stream)

    serving.on_event = note
    serving.run(lambda: not waiting)
    assert all(serving.received(stream.id) == payload for stream, payload in payloads.items())
    assert serving.session.streams == {}


def test_its_slow_reader_stops_its_own_stream_only(serving: go.Wire) -> None:
    slow = begin(serving, b"w")
    payload = random.Random(2).randbytes(1_000_000)
    slow.send(payload)
    slow.end()
    serving.flush()
    assert slow.queued == len(payload) + 1 - frames.WINDOW
    echo = begin(serving, b"e")
    echo.send(payload)
    echo.end()
    serving.run(lambda: seen(serving, StreamEnded, echo))
    assert serving.received(echo.id) == payload
    assert slow.queued == len(payload) + 1 - frames.WINDOW
    begin(serving, b"W")
    serving.run(lambda: seen(serving, StreamEnded, slow))
    assert serving.received(slow.id) == payload


def test_our_slow_reader_stops_its_own_stream_only(serving: go.Wire) -> None:
    slow, echo = begin(serving, b"g"), begin(serving, b"e")

    def note(event: Event) -> None:
        if isinstance(event, DataReceived) and event.stream is slow:
            return
        serving.note(event)

    serving.on_event = note
    serving.run(lambda: slow.unread == frames.WINDOW)
    payload = random.Random(3).randbytes(1_000_000)
    echo.send(payload)
    echo.end()
    serving.run(lambda: seen(serving, StreamEnded, echo))
    assert serving.received(echo.id) == payload
    assert (slow.unread, slow.window.size) == (frames.WINDOW, frames.WINDOW)
    slow.consumed(frames.WINDOW, time.monotonic())
    serving.run(lambda: slow.unread > frames.WINDOW // 2)


def test_a_gigabyte_to_it(serving: go.Wire) -> None:
    stream = begin(serving, b"s")
    digest = hashlib.sha256()
    block = bytearray(random.Random(4).randbytes(256 * 1024))
    sent = 0
    while sent < GIGABYTE:
        while stream.queued <= 2 * len(block) and sent < GIGABYTE:
            block[:8] = sent.to_bytes(8, "big")
            digest.update(block)
            stream.send(bytes(block))
            sent += len(block)
        serving.run(lambda: stream.queued <= 2 * len(block))
    stream.end()
    serving.run(lambda: seen(serving, StreamEnded, stream))
    assert serving.received(stream.id).decode() == digest.hexdigest()


# -- its side opens ---------------------------------------------------------------------------------------------------


def test_it_opens_200_streams_at_once(program: Path, role: str) -> None:
    with go.running(program, GO_ROLES[role], "echo", "200") as peer:
        wire = peer.wire(client=role == "client")

        def echo(event: Event) -> None:
            assert not isinstance(event, (SessionFailed, StreamReset))
            if isinstance(event, DataReceived):
                event.stream.send(event.data)
                event.stream.consumed(len(event.data), time.monotonic())
            elif isinstance(event, StreamEnded):
                event.stream.end()

        wire.on_event = echo
        peer.finish(wire)


def test_a_gigabyte_from_it(program: Path, role: str) -> None:
    with go.running(program, GO_ROLES[role], "sum", str(GIGABYTE)) as peer:
        wire = peer.wire(client=role == "client")
        digest = hashlib.sha256()

        def hash_it(event: Event) -> None:
            if isinstance(event, DataReceived):
                digest.update(event.data)
                event.stream.consumed(len(event.data), time.monotonic())
            elif isinstance(event, StreamEnded):
                event.stream.send(digest.hexdigest().encode())
                event.stream.end()

        wire.on_event = hash_it
        peer.finish(wire)


def test_our_reset_reaches_it(program: Path, role: str) -> None:
    with go.running(program, GO_ROLES[role], "reset") as peer:
        wire = peer.wire(client=role == "client")

        def reset(event: Event) -> None:
            if isinstance(event, DataReceived):
                event.stream.reset()

        wire.on_event = reset
        peer.finish(wire)


# -- who breaks the protocol is ended ---------------------------------------------------------------------------------


def test_it_ends_a_session_that_overruns_its_window(program: Path) -> None:
    with go.running(program, "server", "serve") as peer:
        connection = peer.connection
        connection.sendall(frames.data(1, b"n" + bytes(frames.WINDOW - 1), frames.SYN) + frames.data(1, b"x"))
        answers = b""
        # it closes with bytes of ours unread, perhaps, and its go-away races with its own close
        with contextlib.suppress(ConnectionResetError):
            while received := connection.recv(go.READ_BYTES):
                answers += received
        assert [frame for frame in frames.parse(answers) if frame[0] == 3] in ([], [(3, 0, 0, 1)])
        _, log = peer.process.communicate(timeout=go.SECONDS)
        assert "receive window exceeded" in log


def test_we_end_a_session_that_overruns_our_window(program: Path) -> None:
    with go.running(program, "overrun") as peer:
        wire = peer.wire(client=False)
        wire.on_event = wire.events.append
        wire.run(lambda: wire.session.closed)
        assert isinstance(wire.events[0], StreamOpened)
        assert wire.received(1) == bytes(frames.WINDOW)
        failed = wire.events[-1]
        assert isinstance(failed, SessionFailed)
        assert isinstance(failed.error, errors.WindowExceeded)
        wire.flush()
        peer.connection.close()
        output, _ = peer.process.communicate(timeout=go.SECONDS)
        assert bytes.fromhex(output.strip()).endswith(frames.go_away(1))
