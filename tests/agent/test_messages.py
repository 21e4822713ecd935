"""The seven lines word for word, and a standard output that never blocks the Agent."""

import fcntl
import os
import pty
import re
import select
import socket
import tty
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.agent.messages import LineOutput, Messages

NOON = datetime(2024, 5, 6, 12, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))


def test_the_seven_messages() -> None:
    lines: list[str] = []
    messages = Messages(lines.append, now=lambda: NOON)
    messages.connecting()
    messages.established()
    messages.not_registered()
    messages.already_connected()
    messages.scan_started()
    messages.running()
    messages.unreachable("10.0.0.7", 8443)
    assert lines == [
        f"2024-05-06T12:00:00.250+02:00 {text}\n"
        for text in (
            "Connecting to server...",
            "Connection established",
            "This agent is not registered",
            "Another agent already connected",
            "Scan is started",
            "Running",
            "Target is unreachable: 10.0.0.7:8443",
        )
    ]


def test_j2_a_proxy_that_talks_without_end_fills_no_disk() -> None:
    lines: list[str] = []
    clock = Clock()
    messages = Messages(lines.append, seconds=clock.seconds)
    for _ in range(50_000):
        messages.running()
        messages.scan_started()
    assert len(lines) == limits.WORDS_OF_PROXY_AT_ONCE
    clock.advance(60)
    messages.running()
    assert len(lines) == limits.WORDS_OF_PROXY_AT_ONCE + 1


def test_the_time_is_the_local_one_with_its_offset() -> None:
    lines: list[str] = []
    Messages(lines.append).running()
    stamp, _, text = lines[0].partition(" ")
    assert text == "Running\n"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", stamp)
    assert abs(datetime.now().astimezone() - datetime.fromisoformat(stamp)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("2001:db8::1", "[2001:db8::1]:80"),
        ("fe80::1%eth0", "[fe80::1%eth0]:80"),
        ("db.example", "db.example:80"),
        ("a\nb", r"a\x0ab:80"),
        ("\x1b[31mred", r"\x1b[31mred:80"),
        ("caf\u00e9", r"caf\xc3\xa9:80"),
    ],
)
def test_c6_the_target_is_shown_as_asked_and_harmless(host: str, shown: str) -> None:
    lines: list[str] = []
    Messages(lines.append, now=lambda: NOON).unreachable(host, 80)
    assert lines[0].endswith(f" Target is unreachable: {shown}\n")
    assert lines[0].count("\n") == 1


def test_c6_the_longest_host_gives_a_line_that_a_pipe_takes_whole() -> None:
    lines: list[str] = []
    Messages(lines.append).unreachable("\x01" * 253, 65535)
    assert len(lines[0]) < select.PIPE_BUF


def test_lines_arrive_at_once() -> None:
    read, write = os.pipe()
    output = LineOutput(write)
    output.write("one\n")
    assert os.read(read, 100) == b"one\n"
    output.write("two\n")
    assert os.read(read, 100) == b"two\n"
    assert output.dropped == 0


def test_a_pipe_that_nobody_reads_drops_and_counts_and_goes_on_later() -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    output = LineOutput(write)
    for number in range(2000):
        output.write(f"line {number:04}\n")
    assert output.dropped > 0
    kept = os.read(read, 1 << 20).decode().splitlines()
    assert kept == [f"line {number:04}" for number in range(len(kept))], "no line is cut"
    assert len(kept) + output.dropped == 2000
    output.write("again\n")
    assert os.read(read, 100) == b"again\n"


def test_the_pipe_s_flags_stay_as_they_are_for_who_else_holds_it() -> None:
    read, write = os.pipe()
    LineOutput(write).write("x\n")
    assert os.get_blocking(write)
    assert os.get_blocking(read)


def test_a_reader_that_went_away_is_no_error() -> None:
    read, write = os.pipe()
    output = LineOutput(write)
    os.close(read)
    for _ in range(3):
        output.write("x\n")
    assert output.dropped == 3


def test_a_pipe_without_a_reader_from_the_start_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    output = LineOutput(write)
    output.write("x\n")
    assert output.dropped == 1


def test_a_terminal_that_nobody_reads_does_not_block() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    output = LineOutput(slave)
    line = "t" * 99 + "\n"
    for _ in range(2000):
        output.write(line)
    assert output.dropped > 0
    os.set_blocking(master, False)

    def drain() -> bytes:
        data = b""
        while True:
            try:
                data += os.read(master, 65536)
            except BlockingIOError:
                return data

    received = drain()
    output.write("last\n")
    received += drain()
    assert set(received.decode().splitlines()) == {"t" * 99, "last"}, "a line that was cut goes on before the next"


def test_a_socket_that_nobody_reads_does_not_block() -> None:
    reader, writer = socket.socketpair()
    output = LineOutput(writer.fileno())
    for _ in range(20_000):
        output.write("s" * 99 + "\n")
    assert output.dropped > 0
    assert reader.recv(100) == b"s" * 99 + b"\n"


def test_a_file_is_written_where_its_holder_stands(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("wb", buffering=0) as file:
        file.write(b"before\n")
        LineOutput(file.fileno()).write("line\n")
        file.write(b"after\n")
    assert path.read_bytes() == b"before\nline\nafter\n"


def test_after_close_lines_are_dropped() -> None:
    _, write = os.pipe()
    output = LineOutput(write)
    output.close()
    output.close()
    output.write("x\n")
    assert output.dropped == 1
    os.fstat(write)
