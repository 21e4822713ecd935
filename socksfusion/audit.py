"""The record of what was opened: one JSON line for each open, at its end. Agent and Proxy write the same schema.

Fields are told in docs/security-desk.md. Text from outside is escaped, so that a line is one line of ASCII.
"""

import errno
import json
import os
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits, posix
from socksfusion.errors import UsageError
from socksfusion.log import make_logger, printable
from socksfusion.repeating import Repeating

_log = make_logger()

SYSLOG = "syslog:"
"""The value of ``--audit`` that means the system's own log."""
_SYSLOG_SOCKET = "/dev/log"
_SYSLOG_PRIORITY = 13 * 8 + 6  # facility "log audit", severity "informational" (RFC 5424, section 6.2.1)
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | posix.NO_FOLLOW | posix.CLOSE_ON_EXEC | posix.NON_BLOCKING


@dataclass(slots=True)
class AuditEntry:
    """One open. ``reply`` is None where it ended without an answer: whoever asked had left."""

    side: Literal["agent", "proxy"]
    kind: Literal["connect", "associate"]
    id: str = ""
    agent: str = ""
    scan: str = ""
    client: str = ""
    peer: str = ""
    """Who asked the Proxy; the Agent is not told."""
    host: str = ""
    port: int = 0
    dialled: str = ""
    """The address of the Target's that took the connection, which the Proxy is not told."""
    rule: str = ""
    """The rule that decided."""
    reply: int | None = None
    result: str = "no answer"
    detail: str = ""
    to_target: int = 0
    to_client: int = 0
    seconds: float = 0.0
    time: float = field(default_factory=time.time)
    """When it was asked for (Unix seconds)."""

    def answer(self, reply: int, detail: str) -> None:
        """It was answered with a SOCKS reply code."""
        self.reply = int(reply)
        self.result = _WORDS.get(self.reply, "unassigned")
        self.detail = detail

    def line(self) -> str:
        """The entry as one line of JSON, line feed and all."""
        fields: dict[str, Any] = {"time": _utc(self.time)}
        for name in _FIELDS:
            value = getattr(self, name)
            fields[name] = printable(value) if isinstance(value, str) else value
        fields["seconds"] = round(self.seconds, 3)
        return json.dumps(fields, separators=(",", ":")) + "\n"


_FIELDS = (
    *("side", "kind", "id", "agent", "scan", "client", "peer", "host", "port", "dialled", "rule"),
    *("reply", "result", "detail", "to_target", "to_client", "seconds"),
)
_WORDS = {
    0: "succeeded",
    1: "not tested",
    2: "not allowed",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "timed out",
    7: "command not supported",
    8: "address type not supported",
}


def _utc(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"


class Sink(Protocol):
    """Where lines go."""

    def write(self, lines: list[bytes]) -> None:
        """Take whole lines out of ``lines``, from the first on; ``OSError`` where what is left can't be written."""

    def close(self) -> None:
        """Give up what is open."""


class AuditFile:
    """A file of mode 0600 that is renamed to ``FILE.1`` when it is full; of those a few are kept."""

    def __init__(self, path: Path, largest: int = limits.AUDIT_FILE_BYTES, kept: int = limits.AUDIT_FILES_KEPT) -> None:
        self._path = path
        self._largest = largest
        self._kept = kept
        self._descriptor: int | None = None
        self._size = 0

    def open(self) -> None:
        """Open it now. Raises ``OSError``, also where it is no regular file."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, _FLAGS, 0o600)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file")
        self._descriptor, self._size = descriptor, status.st_size

    def write(self, lines: list[bytes]) -> None:
        """Append ``lines``, all or none, after a change of files where they don't fit."""
        data = b"".join(lines)
        self.open()
        if self._size and self._size + len(data) > self._largest:
            self._rotate()
            self.open()
        assert self._descriptor is not None
        sent = os.write(self._descriptor, data)
        if sent < len(data):
            # the disk is full: half a line would spoil the next
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - sent)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += sent
        lines.clear()

    def close(self) -> None:
        """Close it; the next write opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _rotate(self) -> None:
        self.close()
        for number in range(self._kept - 1, 0, -1):
            older = self._older(number)
            if older.exists():
                os.replace(older, self._older(number + 1))
        os.replace(self._path, self._older(1))

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


class Syslog:
    """The system's log, a datagram a line; it takes one at once or not at all."""

    def __init__(self, program: str, address: str = _SYSLOG_SOCKET) -> None:
        self._tag = f"<{_SYSLOG_PRIORITY}>{program}[{os.getpid()}]: ".encode()
        self._address = address
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect. Raises ``OSError``."""
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            made.setblocking(False)
            try:
                made.connect(self._address)
            except OSError:
                made.close()
                raise
            self._socket = made

    def write(self, lines: list[bytes]) -> None:
        """Send each line."""
        self.open()
        assert self._socket is not None
        sent = 0
        try:
            for line in lines:
                self._socket.send(self._tag + line.rstrip(b"\n"))
                sent += 1
        except BlockingIOError:
            raise
        except OSError:
            # it was started anew, maybe
            self.close()
            raise
        finally:
            del lines[:sent]

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Audit:
    """Collects lines, which ``flush`` writes together: a disk that is full, or a log that takes no more, stops nothing.

    What can't be written is dropped and counted in ``lost``, which the log tells once, and again when it works.
    """

    def __init__(self, sink: Sink) -> None:
        self.lost = 0
        self._sink = sink
        self._lines: list[bytes] = []
        self._told = 0
        self._failing = False

    def record(self, entry: AuditEntry) -> None:
        """Take one entry."""
        if len(self._lines) >= limits.AUDIT_LINES_WAITING:
            self.flush()
        self._lines.append(entry.line().encode())

    def flush(self, *, last: bool = False) -> None:
        """Write what was collected; what a busy log does not take waits for another time, but for the ``last``."""
        if not self._lines:
            return
        try:
            self._sink.write(self._lines)
        except OSError as error:
            if isinstance(error, BlockingIOError) and len(self._lines) < limits.AUDIT_LINES_WAITING and not last:
                return
            self.lost += len(self._lines)
            self._lines.clear()
            if not self._failing:
                self._failing = True
                _log.error("the audit record can't be written: {why}; lines are lost", why=error.strerror or str(error))
            return
        if self._failing:
            self._failing = False
            _log.warn("the audit record is written again; {lost} lines were lost", lost=self.lost - self._told)
            self._told = self.lost

    def close(self) -> None:
        """Write the rest and close."""
        self.flush(last=True)
        self._sink.close()


class AuditWriter(Repeating):
    """Has ``audit`` written every ``limits.AUDIT_FLUSH_SECONDS``, and to its last line at the end."""

    name = "audit"

    def __init__(self, clock: IReactorTime, audit: Audit) -> None:
        super().__init__(clock, limits.AUDIT_FLUSH_SECONDS, audit.flush)
        self._audit = audit

    def stopService(self) -> None:
        """Nothing comes any more."""
        super().stopService()
        self._audit.close()


def open_audit(value: str, program: str) -> Audit:
    """The record that ``--audit VALUE`` asks for. Raises ``UsageError`` where it can't be opened."""
    sink: AuditFile | Syslog
    try:
        if value == SYSLOG:
            if not hasattr(socket, "AF_UNIX"):
                raise UsageError(f"--audit {SYSLOG} is not supported on this system: name a file")
            sink = Syslog(program)
        else:
            sink = AuditFile(Path(value))
        sink.open()
    except OSError as error:
        raise UsageError(f"--audit: can't open {printable(value)}: {error.strerror}")
    return Audit(sink)


def audit_value(absolute: Callable[[str], str] = os.path.abspath) -> Callable[[str], str]:
    """How ``--audit`` is read: a path made absolute, or ``syslog:``."""
    # in a configuration file paths were joined with its folder
    return lambda text: SYSLOG if os.path.basename(text) == SYSLOG else absolute(text)
