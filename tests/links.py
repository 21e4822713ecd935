"""Wait until a link that was just set up carries packets to its other end.

The kernel brings a new link up behind the caller's back. A packet that is sent before is lost, and a neighbour that is
asked for only once would then count as unreachable.
"""

import socket
import time

PATIENCE_SECONDS = 30.0
DISCARD_PORT = 9


def wait_for_neighbour(address: str) -> None:
    """Return once ``address`` answers a connection, if only by refusing it. A try lasts until the kernel does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection((address, DISCARD_PORT), PATIENCE_SECONDS).close()
        except ConnectionRefusedError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{address} does not answer: {error}") from error
        else:
            return
