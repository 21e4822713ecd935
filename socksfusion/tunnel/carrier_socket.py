"""The settings of a carrier's TCP connection."""

import socket
from typing import Any

from socksfusion import limits


def prepare(transport: Any) -> None:
    """Set up a connection that was just made: small reads for now, no delay, few unsent bytes.

    What the kernel holds unsent is what an interactive stream waits behind, so it is bounded where the system can
    (TCP_NOTSENT_LOWAT); bytes in flight are not counted, and a long line is filled all the same.
    """
    transport.setTcpNoDelay(True)
    transport.bufferSize = limits.HANDSHAKE_BYTES
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is None:
        return
    try:
        transport.getHandle().setsockopt(socket.IPPROTO_TCP, option, limits.CARRIER_UNSENT_BYTES)
    except (OSError, AttributeError):
        pass  # not a TCP socket, or reset already
