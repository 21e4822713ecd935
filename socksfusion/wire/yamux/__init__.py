"""The yamux specification (hashicorp/yamux, spec.md) as a sans-IO session.

The way in is ``Session``: bytes and commands in, events and bytes out. Its parts: ``frames`` (the header), ``receiver``
(the peer's bytes), ``states`` (a stream's life as tables), ``stream``, ``windows`` (flow control and its budgets),
``scheduler`` (whose frame is next), ``pings``, ``ids`` and ``tombstones``.
"""

from socksfusion.wire.yamux.errors import OpenLimit, ProtocolError, SessionClosed, YamuxError
from socksfusion.wire.yamux.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PingReplied,
    ResetReason,
    SessionFailed,
    StreamAcknowledged,
    StreamEnded,
    StreamOpened,
    StreamRefused,
    StreamReset,
)
from socksfusion.wire.yamux.frames import GoAwayCode
from socksfusion.wire.yamux.session import Session
from socksfusion.wire.yamux.stream import Stream
from socksfusion.wire.yamux.windows import ProcessBudget

__all__ = [
    "DataReceived",
    "Event",
    "GoAwayCode",
    "GoAwayReceived",
    "OpenLimit",
    "PingReplied",
    "ProcessBudget",
    "ProtocolError",
    "ResetReason",
    "Session",
    "SessionClosed",
    "SessionFailed",
    "Stream",
    "StreamAcknowledged",
    "StreamEnded",
    "StreamOpened",
    "StreamRefused",
    "StreamReset",
    "YamuxError",
]
