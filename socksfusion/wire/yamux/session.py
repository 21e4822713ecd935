"""A yamux session: bytes and commands in, events and bytes out. It has no socket and no clock."""

from socksfusion import limits
from socksfusion.wire.yamux.errors import OpenLimit, PeerNotReading, SessionClosed
from socksfusion.wire.yamux.events import Event
from socksfusion.wire.yamux.frames import LAST_STREAM_ID, GoAwayCode
from socksfusion.wire.yamux.ids import PeerIds
from socksfusion.wire.yamux.pings import Pings
from socksfusion.wire.yamux.receiver import Receiver
from socksfusion.wire.yamux.scheduler import Outbox
from socksfusion.wire.yamux.states import Opening, Receiving
from socksfusion.wire.yamux.stream import Piece, Stream
from socksfusion.wire.yamux.tombstones import Tombstones
from socksfusion.wire.yamux.windows import GrowthBudget, ProcessBudget, ReceiveWindow


class Session:
    """One side of a yamux session, driven by three kinds of sources:

    - the application: ``open_stream``, ``ping``, ``go_away``, ``fail``, and the methods of ``Stream``;
    - the network: ``receive_data`` gives events, ``data_to_send`` takes what is to be written;
    - a timer: ``next_timer`` and ``handle_timer``.

    Any call may leave something to send (``wants_to_send``). ``now`` is always monotonic seconds. The client side has
    odd stream ids. ``accept_streams=False``: the peer may open none. ``budget`` is shared by the sessions of a process.
    The other arguments default to limits.py: ``frame_bytes``, ``stream_window`` and ``session_growth`` in bytes,
    ``send_high`` and ``send_low`` (bytes queued on a stream) for ``take_drained``, ``max_streams`` and
    ``max_unacknowledged`` as counts.

    A client sends a ping at its start, a server when the first bytes have come: growth of windows goes by round trips.
    """

    def __init__(
        self,
        *,
        client: bool,
        now: float,
        accept_streams: bool = True,
        budget: ProcessBudget | None = None,
        frame_bytes: int = limits.FRAME_BODY_BYTES,
        stream_window: int = limits.STREAM_WINDOW_BYTES,
        session_growth: int = limits.SESSION_GROWTH_BYTES,
        send_high: int = limits.STREAM_SEND_BYTES,
        send_low: int = limits.STREAM_SEND_LOW_BYTES,
        max_streams: int = limits.STREAMS_PER_SESSION,
        max_unacknowledged: int = limits.UNACKNOWLEDGED_STREAMS,
    ) -> None:
        self.client = client
        self.accept_streams = accept_streams
        self.streams: dict[int, Stream] = {}
        """Open streams by id; to be read only."""
        self.unacknowledged = 0
        """Streams that we opened and the peer has not answered."""
        self.closed = False
        """Whether the session has failed."""
        self.going_away = False
        """Whether we said that we accept no more streams."""
        self.peer_goes_away: int | None = None
        """The code of the peer's go-away."""
        # shared with the receiver, the scheduler and the streams
        self.now = now
        self.budget = budget if budget is not None else ProcessBudget()
        self.send_high = send_high
        self.send_low = send_low
        self.max_streams = max_streams
        self.max_unacknowledged = max_unacknowledged
        self.pings = Pings()
        self.outbox = Outbox(self.pings, frame_bytes)
        self.tombstones = Tombstones()
        self.peer_ids = PeerIds(odd=not client)
        self.drained: list[Stream] = []
        self.ended: list[Stream] = []
        self._growth = GrowthBudget(session_growth, self.budget.growth)
        self._stream_window = stream_window
        self._next_id = 1 if client else 2
        self._receiver = Receiver(self)
        if client:
            self.pings.ask(now)

    # -- network ------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the carrier as they come. Never raises for what the peer sent.

        After a protocol error the last event is ``SessionFailed``, and what comes later is ignored.
        """
        self.now = now
        return self._receiver.receive_data(data, now)

    def data_to_send(self, limit: int) -> list[Piece]:
        """Return what to write, headers and bodies to be joined: about ``limit`` bytes, frames whole.

        Control frames go first, then one frame a user in turns, whose streams take turns for it.
        """
        return self.outbox.data_to_send(limit)

    @property
    def wants_to_send(self) -> bool:
        """Whether ``data_to_send`` would give anything."""
        return self.outbox.waiting

    @property
    def queued_bytes(self) -> int:
        """What could be sent now, about, in bytes."""
        return self.outbox.queued_bytes

    def take_drained(self) -> list[Stream]:
        """Return streams whose queue was above ``send_high`` and has come down to ``send_low`` since the last call."""
        drained, self.drained = self.drained, []
        return drained

    def take_ended(self) -> list[Stream]:
        """Return streams that are closed without an event since the last call.

        They ended cleanly both ways, or their ordered reset (``reset(after_data=True)``) is queued behind the data.
        """
        ended, self.ended = self.ended, []
        return ended

    # -- application --------------------------------------------------------------------------------------------------

    @property
    def can_open(self) -> bool:
        """Whether ``open_stream`` would give a stream now."""
        return self._open_refusal() is None

    @property
    def used_up(self) -> bool:
        """Whether the ids are used up: a new session is needed for further streams."""
        return self._next_id >= LAST_STREAM_ID

    @property
    def round_trip(self) -> float | None:
        """The shortest of the last few ping round trips in seconds, None before the first."""
        return self.pings.round_trip

    @property
    def oldest_unanswered_ping(self) -> float | None:
        """When the oldest ping was asked that the peer has not answered."""
        return self.pings.oldest_unanswered

    def open_stream(self, now: float) -> Stream:
        """Open a stream; data sent before the next ``data_to_send`` goes in the frame that opens it.

        Raises SessionClosed, or OpenLimit when too many are open or un-ACKed or the ids are used up.
        """
        self.now = now
        refusal = self._open_refusal()
        if refusal is not None:
            raise refusal
        stream_id = self._next_id
        self._next_id += 2
        self.unacknowledged += 1
        return self._add_stream(stream_id, Opening.QUEUED, limits.INITIAL_WINDOW_BYTES)

    def ping(self, now: float) -> int:
        """Queue a ping; its reply comes as ``PingReplied`` with the value returned here. Raises SessionClosed."""
        if self.closed:
            raise SessionClosed("the session has ended")
        return self.pings.ask(now)

    def go_away(self, code: int = GoAwayCode.NORMAL) -> None:
        """Say that no more streams are accepted, behind the data that goes next; streams that are open go on."""
        if not self.closed:
            self.going_away = True
            self.outbox.go_away = code

    def fail(self, code: int | None = GoAwayCode.INTERNAL_ERROR) -> list[Stream]:
        """End the session at once: nothing that waits is sent but a go-away (None: not even that).

        Returns the streams that this cut, for which no event comes. Bytes of theirs that were received may still be
        consumed. Harmless when repeated.
        """
        if self.closed:
            return []
        self.closed = True
        cut = list(self.streams.values())
        for stream in cut:
            stream.shut()
            stream.window.close()
            stream.ready = False
        self.streams.clear()
        self.unacknowledged = 0
        self.outbox.clear()
        self.outbox.go_away = code
        return cut

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """Return when ``handle_timer`` should be called, None for never so far."""
        return self.tombstones.next_expiry(self.now)

    def handle_timer(self, now: float) -> list[Event]:
        """Let go what is too old at ``now``."""
        self.now = now
        self.tombstones.settle(now)
        return []

    # -- for the receiver and the streams -----------------------------------------------------------------------------

    def accept_stream(self, stream_id: int, credit: int) -> Stream | str:
        """Make the record of a stream that the peer opens, or answer RST and return the rule that forbids it.

        Raises ProtocolError when there can be no such stream.
        """
        self.peer_ids.claim(stream_id)
        rule = self._accept_refusal()
        if rule is None:
            self.outbox.unsent_acks += 1
            return self._add_stream(stream_id, Opening.ANSWERED, credit)
        if len(self.outbox.resets) >= limits.TOMBSTONES:
            raise PeerNotReading(f"{limits.TOMBSTONES} resets wait to be sent")
        self.outbox.resets[stream_id] = None
        self.tombstones.add(stream_id, limits.INITIAL_WINDOW_BYTES)
        return rule

    def was_opened(self, stream_id: int) -> bool:
        """Tell whether there is or was a stream with this id."""
        if stream_id % 2 == (1 if self.client else 0):
            return 0 < stream_id < self._next_id
        return self.peer_ids.used(stream_id)

    def reset_stream(self, stream: Stream) -> None:
        """End a stream at once and tell the peer."""
        if stream.opening is not Opening.QUEUED:
            self.outbox.resets[stream.id] = None
            if stream.receiving is not Receiving.ENDED:
                self.tombstones.add(stream.id, stream.window.credit)
        self.drop_stream(stream)

    def drop_stream(self, stream: Stream) -> None:
        """End a stream at once."""
        if stream.opening is not Opening.ANSWERED:
            self.unacknowledged -= 1
        self.outbox.forget(stream)
        stream.shut()
        self._remove(stream)

    def end_stream(self, stream: Stream) -> None:
        """Let go of a stream that ended cleanly both ways; its FIN may still wait to be sent."""
        self._remove(stream)
        self.ended.append(stream)

    # -----------------------------------------------------------------------------------------------------------------

    def _add_stream(self, stream_id: int, opening: Opening, credit: int) -> Stream:
        stream = Stream(self, stream_id, opening, ReceiveWindow(self._growth, self._stream_window), credit)
        self.streams[stream_id] = stream
        self.outbox.control[stream] = None
        return stream

    def _remove(self, stream: Stream) -> None:
        del self.streams[stream.id]
        stream.window.close()
        self._receiver.leave(stream)

    def _open_refusal(self) -> Exception | None:
        if self.closed or self.going_away or self.peer_goes_away is not None:
            return SessionClosed("the session takes no new streams")
        if self.used_up:
            return OpenLimit("the session's stream ids are used up")
        if self.unacknowledged >= self.max_unacknowledged:
            return OpenLimit(f"{self.unacknowledged} streams wait to be acknowledged")
        if len(self.streams) >= self.max_streams:
            return OpenLimit(f"{len(self.streams)} streams are open")
        return None

    def _accept_refusal(self) -> str | None:
        if not self.accept_streams:
            return "foreign-open"
        if self.going_away:
            return "going-away"
        if self.outbox.unsent_acks >= self.max_unacknowledged:
            return "backlog"
        if len(self.streams) >= self.max_streams:
            return "streams"
        return None
