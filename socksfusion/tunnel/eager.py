"""Writes go to the socket at once where nothing waits before them.

Twisted's transports write in the reactor's next turn, which costs two changes of the epoll set and one more event. That
pays where writes add up; ours are gathered already when they come here (figures: docs/performance.md).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.protocols.tls import TLSMemoryBIOProtocol

from socksfusion.tunnel.layers import is_tls


def writer(transport: Any) -> Callable[[bytes], None]:
    """What to call instead of ``transport.write``, for a Twisted TCP transport; others are written to as usual.

    Twisted's TLS gathers writes for a turn of the reactor, with nothing that tells how many: it is passed by.
    """
    if is_tls(transport):
        return partial(TLSMemoryBIOProtocol.write, transport)
    try:
        send = transport.getHandle().send
    except AttributeError:
        return cast(Callable[[bytes], None], transport.write)

    def write(data: bytes) -> None:
        if transport.dataBuffer or transport._tempDataBuffer:
            transport.write(data)
            return
        try:
            sent = send(data)
        except OSError:
            # not now, or never: the transport finds out, and tells its protocol
            sent = 0
        if sent < len(data):
            transport.write(data[sent:])

    return write
