"""Whether a port can be listened on here, which the registry can't know: another program may have it."""

import errno
import socket
import time
from collections.abc import Callable
from typing import Final

from socksfusion import limits

_HEARD_SECONDS: Final = limits.REGISTRY_POLL_SECONDS + 1.0
_LOOK_SECONDS: Final = 0.05


def is_free(port: int) -> bool:
    """Whether no program listens on ``port`` of 127.0.0.1 now; True where that can't be told (a privileged port)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as a listener does: connections that ended a moment ago don't count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def wait_until_open(
    port: int, *, sleep: Callable[[float], None] = time.sleep, seconds: Callable[[], float] = time.monotonic
) -> None:
    """Wait until a running Proxy has heard of ``port`` and listens on it; 1.5 s at most.

    A tool that is started by the next line of a script would find nobody there, and call every port of its target
    closed. A Proxy whose ports are on another address than 127.0.0.1 can't be seen here: it has heard by then.
    """
    begun = seconds()
    while is_free(port) and seconds() - begun < _HEARD_SECONDS:
        sleep(_LOOK_SECONDS)
