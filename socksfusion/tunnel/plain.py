"""The settings of a plain TCP connection, the same for a Client's and for a Target's."""

import socket
import struct
from typing import Any, Final

from twisted.internet.interfaces import ITCPTransport

from socksfusion import limits
from socksfusion.tunnel.layers import socket_of

_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (
            ("TCP_KEEPIDLE", limits.TCP_KEEPALIVE_IDLE_SECONDS),
            ("TCP_KEEPINTVL", limits.TCP_KEEPALIVE_INTERVAL_SECONDS),
            ("TCP_KEEPCNT", limits.TCP_KEEPALIVE_PROBES),
        )
        # where the system has no such name, its own times hold
        if hasattr(socket, name)
    ),
)
_AT_ONCE: Final = struct.pack("ii", 1, 0)
_IN_ORDER: Final = struct.pack("ii", 0, 0)


def prepare(transport: Any) -> None:
    """Set up a connection that was just made: reads of ``limits.PLAIN_READ_BYTES``, TCP_NODELAY, keepalive.

    Of TLS the connection below is meant. A transport that is not TCP (a Unix socket) gets the size of its reads only.
    Never raises for a connection that is already gone: its protocol is about to be told.
    """
    transport = socket_of(transport)
    transport.bufferSize = limits.PLAIN_READ_BYTES
    is_tcp: bool = ITCPTransport.providedBy(transport)
    if not is_tcp:
        return
    handle = transport.getHandle()
    try:
        for level, name, value in _OPTIONS:
            handle.setsockopt(level, name, value)
    except OSError:
        # Twisted's Unix transports claim to be TCP; a TCP socket that refuses has been reset
        pass


def reset_if_killed(transport: Any) -> None:
    """Let the kernel end the connection by RST where this program is killed: a cut transfer must not look complete."""
    _linger(transport, _AT_ONCE)


def end_if_killed(transport: Any) -> None:
    """Take that back: all has been said, and what the kernel still holds is sent whatever becomes of us.

    Due before an orderly close, which would cut the end of the transfer otherwise.
    """
    _linger(transport, _IN_ORDER)


def _linger(transport: Any, value: bytes) -> None:
    transport = socket_of(transport)
    is_tcp: bool = ITCPTransport.providedBy(transport)
    if not is_tcp:
        return
    try:
        transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
    except OSError:
        pass  # it has been reset
