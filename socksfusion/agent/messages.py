"""The seven lines that the Agent writes for whoever runs it, and a standard output that can't stop it."""

import errno
import os
import stat
import time
from collections.abc import Callable
from datetime import datetime

from socksfusion import limits, posix
from socksfusion.agent.unreachable import Unreachable
from socksfusion.bucket import Bucket
from socksfusion.log import make_logger, printable

_log = make_logger()

_FLAGS = posix.NON_BLOCKING | posix.NO_TERMINAL | posix.CLOSE_ON_EXEC


def _local_time() -> datetime:
    return datetime.now().astimezone()


class Messages:
    """The seven messages, each ``<ISO 8601 time with offset> <message>``, a line each.

    ``write`` gets a line with its line feed and must not block. ``now`` gives an aware time, ``seconds`` a monotonic
    one.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        now: Callable[[], datetime] = _local_time,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._now = now
        self._unreachable = Unreachable(seconds, self._unreachable_count)
        self._words = Bucket(seconds, limits.WORDS_OF_PROXY_PER_SECOND, limits.WORDS_OF_PROXY_AT_ONCE)
        self._left_out = 0

    def connecting(self) -> None:
        """It is trying to reach the Proxy."""
        self._say("Connecting to server...")

    def established(self) -> None:
        """The TLS connection to the Proxy stands."""
        self._say("Connection established")

    def not_registered(self) -> None:
        """Its key is not registered."""
        self._say("This agent is not registered")

    def already_connected(self) -> None:
        """Another agent uses the same key."""
        self._say("Another agent already connected")

    def scan_started(self) -> None:
        """A scan request came in."""
        self._say_for_proxy("Scan is started")

    def running(self) -> None:
        """The Proxy's periodic sign that the connection works."""
        self._say_for_proxy("Running")

    def unreachable(self, host: str, port: int) -> None:
        """A connection to ``host`` and ``port``, as the Client asked for them, failed."""
        if self._unreachable.is_told(host, port):
            self._say(f"Target is unreachable: {_address(host, port)}")

    def look(self) -> None:
        """Now and then: tell the counts of hosts of which too many lines came."""
        self._unreachable.look()

    def _unreachable_count(self, host: str, port: int, count: int) -> None:
        self._say(f"Target is unreachable: {_address(host, port)} ({count} of this host in the last minute)")

    def _say_for_proxy(self, message: str) -> None:
        """What a Proxy may bring about at any time, within a bound: it must not fill its host's disk."""
        if self._words.tokens() < 1:
            self._left_out += 1
            return
        if self._left_out:
            _log.warn(
                "the Proxy had more to say than anybody reads: {count} messages were left out", count=self._left_out
            )
            self._left_out = 0
        self._words.spend(1)
        self._say(message)

    def _say(self, message: str) -> None:
        self._write(f"{self._now().isoformat(timespec='milliseconds')} {message}\n")


def _address(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{printable(shown)}:{port}"


class LineOutput:
    """Writes lines to a descriptor that others may hold too, and never waits for its reader.

    A line that can't be taken at once is dropped and counted in ``dropped``; so is every line after the reader has
    gone. Lines are never cut or mixed; each is to be shorter than PIPE_BUF, which a pipe takes whole or not at all. The
    descriptor's flags stay as they are: O_NONBLOCK belongs to the open file, so setting it would reach the shell or
    supervisor that holds it too.
    """

    def __init__(self, descriptor: int) -> None:
        self.dropped = 0
        self._rest = b""
        self._descriptor: int | None = _reopen(descriptor)

    def write(self, line: str) -> None:
        """Write one line, line feed and all."""
        # a terminal may have taken only a part of the line before
        if self._send_rest() and self._send(line.encode("utf-8", "backslashreplace")):
            return
        # counted and not logged: where the log goes to the same reader, a log line would block
        self.dropped += 1

    def close(self) -> None:
        """Give the descriptor up; later lines are dropped."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _send_rest(self) -> bool:
        rest, self._rest = self._rest, b""
        if rest and not self._send(rest):
            self._rest = rest
        return not self._rest

    def _send(self, data: bytes) -> bool:
        """Whether ``data`` was taken; what was taken in part goes on with the next line."""
        if self._descriptor is None or not posix.takes_more(self._descriptor):
            return False
        try:
            sent = os.write(self._descriptor, data)
        except BlockingIOError:
            return False
        except OSError as error:
            # the reader has gone, the terminal hung up or the disk is full; only the last may get better
            if error.errno != errno.ENOSPC:
                self.close()
            return False
        self._rest = data[sent:]
        return True


def _reopen(descriptor: int) -> int:
    """A descriptor of the same pipe or terminal with an open file, and O_NONBLOCK, of its own.

    Where that can't be had (a socket, a pipe of another user's, no /proc) it is a duplicate. With that too a write does
    not block, as polling comes first, unless another holder fills the same pipe between the two.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | _FLAGS)
        except OSError:
            pass
    return os.dup(descriptor)
