"""Pass a reset on only after the bytes that came before it have left the kernel.

SO_LINGER 0 throws away what the kernel still holds, so a relay that resets at once would cut the end of a transfer.
"""

import fcntl
import struct
import termios
from typing import Any

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits

_LOOK_SECONDS = 0.02


def unsent_bytes(transport: Any) -> int:
    """Bytes in the transport's own buffer and in the kernel's send queue (SIOCOUTQ.

    Sent but unacknowledged count too).
    """
    own = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    (kernel,) = struct.unpack("i", fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    return int(own + kernel)


def abort_when_drained(transport: Any) -> None:
    """``abortConnection`` once nothing is unsent, ``limits.RESET_DRAIN_SECONDS`` from now at the latest.

    The reading side is left alone meanwhile: what still comes finds nobody, and a reset ends the wait.
    """
    reactor: IReactorTime = transport.reactor
    _look(transport, reactor, reactor.seconds() + limits.RESET_DRAIN_SECONDS)


def _look(transport: Any, reactor: IReactorTime, deadline: float) -> None:
    if not transport.connected:
        return
    try:
        unsent = unsent_bytes(transport)
    except (OSError, ValueError):
        unsent = 0
    if unsent and reactor.seconds() < deadline:
        reactor.callLater(_LOOK_SECONDS, _look, transport, reactor, deadline)
    else:
        transport.abortConnection()
