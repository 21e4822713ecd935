"""Whether a port can be listened on here, which the registry can't know: another program may have it."""

import errno
import socket


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
