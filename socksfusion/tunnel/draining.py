"""Pass a reset on only after the bytes that came before it have left the kernel.

SO_LINGER 0 throws away what the kernel still holds, so a relay that resets at once would cut the end of a transfer.
"""

from typing import Any

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits, posix

_FIRST_LOOK_SECONDS = 0.01
_LONGEST_LOOK_SECONDS = 1.0


def unsent_bytes(transport: Any) -> int:
    """Bytes in the transport's own buffer and in the kernel's send queue (SIOCOUTQ).

    Those that were sent and not acknowledged count too.
    """
    own = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return int(own) + posix.unsent_bytes(transport)


def abort_when_drained(transport: Any, patience_seconds: float = limits.RESET_DRAIN_SECONDS) -> None:
    """``abortConnection`` once nothing is unsent, or nothing has left for ``patience_seconds``.

    The reading side is left alone meanwhile: what still comes finds nobody, and a reset ends the wait.
    """
    _Draining(transport, patience_seconds).look()


class _Draining:
    """Looks at one transport, less and less often."""

    __slots__ = ("_deadline", "_interval", "_patience_seconds", "_reactor", "_transport", "_unsent")

    def __init__(self, transport: Any, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._transport = transport
        self._reactor: IReactorTime = transport.reactor
        self._interval = _FIRST_LOOK_SECONDS
        self._unsent: int | None = None
        self._deadline = 0.0

    def look(self) -> None:
        """Abort, or look again later."""
        if not self._transport.connected:
            return
        unsent = unsent_bytes(self._transport)
        now = self._reactor.seconds()
        if unsent != self._unsent:
            self._unsent = unsent
            self._deadline = now + self._patience_seconds
        if not unsent or now >= self._deadline:
            self._transport.abortConnection()
            return
        self._reactor.callLater(self._interval, self.look)
        self._interval = min(2 * self._interval, _LONGEST_LOOK_SECONDS)
