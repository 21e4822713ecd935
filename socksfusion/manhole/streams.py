"""What a manhole shows of a carrier and of the streams on it."""

from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.control import ControlProtocol

HEADERS = ("stream", "sent", "received", "queued", "unread", "reader")
"""What :func:`rows` are: the stream's number, bytes each way, what waits to leave and to be taken, a reader's pause."""


def rows(carrier: Carrier, control: ControlProtocol | None) -> list[list[object]]:
    """A row for each open stream but the one of ``control``."""
    found: list[list[object]] = []
    for number, stream in sorted(carrier.session.streams.items()):
        transport = stream.owner
        if control is not None and transport is control.transport:
            continue
        paused = "paused" if transport.paused else ""
        cells = [transport.bytes_sent, transport.bytes_received, stream.queued, transport.unread, paused]
        found.append([number, *cells])
    return found


def round_trip(carrier: Carrier) -> str:
    """The shortest of the last few ping round trips, for people; empty before the first."""
    seconds = carrier.session.round_trip
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"
