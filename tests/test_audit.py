"""The record: its lines, its files, and what becomes of it when the disk is full."""

import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.audit import Audit, AuditEntry, AuditFile, AuditWriter, Syslog, audit_value, open_audit
from socksfusion.errors import UsageError


class FullSink:
    """A disk that is full while ``full``."""

    def __init__(self) -> None:
        self.full = False
        self.lines: list[bytes] = []

    def write(self, lines: list[bytes]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.lines += lines
        lines.clear()

    def close(self) -> None:
        pass


def entry(**fields: str) -> AuditEntry:
    return AuditEntry("agent", "connect", time=1_700_000_000.5, **fields)


def test_a_line_is_one_line_of_printable_ascii_whatever_comes_from_outside() -> None:
    line = entry(host='a"\n\x1b[31m\u202e\\', detail="\r\n").line()
    assert line.endswith("\n")
    assert all(" " <= character <= "~" for character in line[:-1])
    fields = json.loads(line)
    assert fields["time"] == "2023-11-14T22:13:20.500Z"
    assert (fields["reply"], fields["result"]) == (None, "no answer")


def test_a_line_is_bounded() -> None:
    assert len(entry(host="x" * 10_000, detail="\x00" * 10_000, rule="\\" * 10_000).line()) < 4096


def test_a_file_that_is_full_is_renamed_and_the_oldest_goes(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit", largest=10, kept=2)
    for number in range(5):
        file.write([b"line %d\n" % number])
    file.close()
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"audit": b"line 4\n", "audit.1": b"line 3\n", "audit.2": b"line 2\n"}
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o600


def test_a_file_goes_on_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        audit = open_audit(str(tmp_path / "audit"), "program")
        audit.record(entry(host="one"))
        audit.close()
    assert len((tmp_path / "audit").read_text().splitlines()) == 2


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "audit")
    with pytest.raises(UsageError, match="--audit: can't open"):
        open_audit(str(tmp_path / "audit"), "program")


def test_a_full_disk_is_told_once_and_lines_are_counted() -> None:
    sink = FullSink()
    audit = Audit(sink)
    sink.full = True
    for _ in range(3):
        audit.record(entry())
        audit.flush()
    assert audit.lost == 3
    sink.full = False
    audit.record(entry(host="after"))
    audit.flush()
    assert [json.loads(line)["host"] for line in sink.lines] == ["after"]


def test_a_disk_that_takes_half_a_line_keeps_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = AuditFile(tmp_path / "audit")
    file.write([b"whole\n"])
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    with pytest.raises(OSError, match="No space"):
        file.write([b"broken\n"])
    monkeypatch.undo()
    file.write([b"after\n"])
    assert (tmp_path / "audit").read_bytes() == b"whole\nafter\n"


def test_lines_are_written_every_second_or_when_many_wait_and_at_the_end() -> None:
    clock, sink = Clock(), FullSink()
    audit = Audit(sink)
    writer = AuditWriter(clock, audit)
    writer.startService()
    audit.record(entry())
    assert not sink.lines
    clock.advance(limits.AUDIT_FLUSH_SECONDS)
    assert len(sink.lines) == 1
    for _ in range(limits.AUDIT_LINES_WAITING + 1):
        audit.record(entry())
    assert len(sink.lines) == 1 + limits.AUDIT_LINES_WAITING
    writer.stopService()
    assert len(sink.lines) == 2 + limits.AUDIT_LINES_WAITING


def test_syslog_gets_a_datagram_a_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        log.settimeout(10)
        syslog = Syslog("socksfusion-agent", str(tmp_path / "log"))
        syslog.write([b"one\n", b"two\n"])
        assert [log.recv(4096) for _ in range(2)] == [
            b"<110>socksfusion-agent[%d]: %s" % (os.getpid(), line) for line in (b"one", b"two")
        ]
        syslog.close()


class BusySink:
    """A log that takes so many lines before it is read."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.lines: list[bytes] = []

    def write(self, lines: list[bytes]) -> None:
        taken = lines[: self.room]
        del lines[: self.room]
        self.room -= len(taken)
        self.lines += taken
        if lines:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def close(self) -> None:
        pass


def test_what_a_busy_log_does_not_take_waits_for_another_time() -> None:
    sink = BusySink(room=2)
    audit = Audit(sink)
    for number in range(5):
        audit.record(entry(host=f"{number}"))
    audit.flush()
    assert (len(sink.lines), audit.lost) == (2, 0)
    sink.room = 3
    audit.flush()
    assert [json.loads(line)["host"] for line in sink.lines] == ["0", "1", "2", "3", "4"]
    assert audit.lost == 0


def test_so_many_may_wait_for_a_busy_log() -> None:
    audit = Audit(BusySink(room=0))
    for _ in range(limits.AUDIT_LINES_WAITING):
        audit.record(entry())
    assert audit.lost == 0
    audit.record(entry())
    assert audit.lost == limits.AUDIT_LINES_WAITING


def test_what_waits_at_the_end_is_lost() -> None:
    sink = BusySink(room=2)
    audit = Audit(sink)
    for _ in range(10):
        audit.record(entry())
    audit.flush()
    assert audit.lost == 0
    audit.close()
    assert (len(sink.lines), audit.lost) == (2, 8)


def test_lines_before_one_that_syslog_does_not_take_are_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        syslog = Syslog("socksfusion-agent", str(tmp_path / "log"))
        lines = [b"%d\n" % number for number in range(100_000)]
        with pytest.raises(BlockingIOError):
            syslog.write(lines)
        assert log.recv(4096).endswith(b": 0")
        left = int(lines[0])
        for number in range(1, left):
            assert log.recv(4096).endswith(b": %d" % number)
        syslog.write(lines[:1])
        assert log.recv(4096).endswith(b": %d" % left)
        syslog.close()


def test_the_option_is_a_path_or_the_systems_log() -> None:
    read = audit_value()
    assert read("/var/log/audit") == "/var/log/audit"
    assert read("syslog:") == read("/etc/socksfusion/syslog:") == "syslog:"
