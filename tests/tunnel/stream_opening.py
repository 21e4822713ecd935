"""A stream on any carrier, with a recorder on it."""

from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.stream import StreamTransport
from tests.tunnel.pair import HalfCloseable


def open_stream(carrier: Carrier) -> HalfCloseable:
    opened: list[StreamTransport | None] = []
    carrier.open_stream(opened.append)
    (transport,) = opened
    assert transport is not None
    protocol = HalfCloseable()
    transport.protocol = protocol
    protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
    return protocol
