"""What each event of a session does to its carrier and to the streams on it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from socksfusion.refusals import Refusals
from socksfusion.tunnel.checks import Checks
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.tunnel.stream_queue import StreamQueue
from socksfusion.wire.yamux import events
from socksfusion.wire.yamux.stream import Stream

if TYPE_CHECKING:
    from socksfusion.tunnel.carrier import Carrier


class EventHandlers:
    """``by_type`` maps an event's class to the function that deals with it."""

    def __init__(self, carrier: "Carrier", queue: StreamQueue, checks: Checks, refusals: Refusals) -> None:
        self._carrier = carrier
        self._queue = queue
        self._refusals = refusals
        self.by_type: dict[type, Callable[[Any], None]] = {
            events.DataReceived: lambda event: event.stream.owner.data_received(event.data),
            events.StreamEnded: lambda event: event.stream.owner.ended(),
            events.StreamReset: self._stream_reset,
            events.StreamRefused: self._stream_refused,
            events.StreamOpened: self._stream_opened,
            # it makes room for an opening, which the carrier looks for after each read
            events.StreamAcknowledged: lambda event: None,
            events.PingReplied: lambda event: checks.answered(event.opaque),
            events.GoAwayReceived: self._go_away_received,
            events.SessionFailed: self._session_failed,
        }

    def _stream_opened(self, event: events.StreamOpened) -> None:
        carrier = self._carrier
        transport = StreamTransport(event.stream, carrier, carrier.peer)
        try:
            transport.protocol = carrier.owner.stream_opened(carrier, carrier.peer)
            transport.protocol.makeConnection(transport)
        except Exception:
            transport.broken(Failure())

    def _stream_reset(self, event: events.StreamReset) -> None:
        if event.reason is events.ResetReason.PEER:
            event.stream.owner.was_reset()
            return
        what = f"stream {event.stream.id}: {event.detail}"
        self._refusals.refuse(f"stream-{event.reason.value}", self._carrier.peer, what)
        event.stream.owner.cut(event.detail)

    def _stream_refused(self, event: events.StreamRefused) -> None:
        self._refusals.refuse(event.rule, self._carrier.peer, f"stream {event.stream_id} was not opened")

    def _go_away_received(self, event: events.GoAwayReceived) -> None:
        carrier = self._carrier
        why = f"the other end went away with code {event.code}" if event.code else "the other end left in order"
        carrier.lost_why = carrier.lost_why or why
        self._queue.give_up()

    def _session_failed(self, event: events.SessionFailed) -> None:
        # first, so that the end of the control stream is not taken for the reason
        self._carrier.session_failed(event.error)
        cut(event.streams, str(event.error))


def cut(streams: list[Stream], why: str) -> None:
    """Tell the streams that their session has let go of them."""
    for stream in streams:
        stream.owner.carrier_lost(why)
