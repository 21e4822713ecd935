"""Who waits for a stream of a carrier: an Agent acknowledges only so many at once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.tunnel.stream import StreamTransport

if TYPE_CHECKING:
    from socksfusion.tunnel.carrier import Carrier

_log = make_logger()

TakesStream: TypeAlias = Callable[[StreamTransport | None], None]
"""Takes a stream's transport, without a protocol yet, or None where its carrier can open no more streams."""


class _User:
    """How many streams one user has open: in ``users`` as long as there are any."""

    __slots__ = ("_name", "_users", "open")

    def __init__(self, name: str, users: "dict[str, _User]") -> None:
        self._name = name
        self._users = users
        self.open = 0

    def stream_ended(self, _stream: StreamTransport, _reason: Failure) -> None:
        """One of them has ended."""
        self.open -= 1
        if not self.open:
            del self._users[self._name]


class StreamQueue:
    """Opens the streams of ``carrier``: users take turns, and each user's own are served as they came.

    A user may have ``limits.STREAMS_SHARE`` times as many as are still free: whoever has thousands open leaves some for
    who comes next, and waits at that for some of its own to end.

    What a taker raises is logged, resets its stream, and hinders no other.
    """

    def __init__(self, carrier: "Carrier") -> None:
        self._carrier = carrier
        self._users: dict[TakesStream, str] = {}
        # the user whose turn is next stands first
        self._waiting: dict[str, dict[TakesStream, None]] = {}
        self._open: dict[str, _User] = {}

    def __len__(self) -> int:
        return len(self._users)

    @property
    def possible(self) -> bool:
        """Whether a stream can be opened now, or once earlier ones are acknowledged."""
        carrier, session = self._carrier, self._carrier.session
        gone_away = session.closed or session.going_away or session.peer_goes_away is not None
        return carrier.handshaken and not (carrier.closing or gone_away or session.used_up)

    def open(self, taker: TakesStream, user: str = "") -> None:
        """Give ``taker`` a stream at once, or in the turn of ``user``; None where the carrier takes no more."""
        carrier = self._carrier
        if carrier.session.used_up:
            carrier.end("the numbers of its streams are used up")
        if not self.possible:
            self._give(taker, None)
        elif carrier.session.can_open and not self._users and self._has_room(user):
            self._give(taker, self._new_stream(user))
        else:
            self._users[taker] = user
            self._waiting.setdefault(user, {})[taker] = None
            # those who wait may all have their share
            self.serve()

    def withdraw(self, taker: TakesStream) -> None:
        """``taker`` waits no more; harmless for one that doesn't wait."""
        user = self._users.pop(taker, None)
        if user is not None:
            takers = self._waiting[user]
            del takers[taker]
            if not takers:
                del self._waiting[user]

    def serve(self) -> None:
        """Give those who wait their streams, as far as the session opens some."""
        carrier = self._carrier
        while self._users and not carrier.closing and carrier.session.can_open:
            user = next((user for user in self._waiting if self._has_room(user)), None)
            if user is None:
                return
            self._give(self._next(user), self._new_stream(user))

    def give_up(self) -> None:
        """There will be no more streams for those who wait now."""
        waiting, self._users, self._waiting = self._users, {}, {}
        for taker in waiting:
            self._give(taker, None)

    def _has_room(self, user: str) -> bool:
        session = self._carrier.session
        has = self._open.get(user)
        opened = has.open if has is not None else 0
        return opened < limits.STREAMS_SHARE * (session.max_streams - len(session.streams))

    def _next(self, user: str) -> TakesStream:
        takers = self._waiting.pop(user)
        taker = next(iter(takers))
        del self._users[taker], takers[taker]
        if takers:
            self._waiting[user] = takers
        return taker

    def _new_stream(self, user: str) -> StreamTransport:
        carrier = self._carrier
        carrier.flush_soon()
        transport = StreamTransport(carrier.session.open_stream(carrier.seconds()), carrier, carrier.peer)
        transport.belong_to(user)
        has = self._open.get(user)
        if has is None:
            has = self._open[user] = _User(user, self._open)
        has.open += 1
        transport.when_lost(has.stream_ended)
        return transport

    def _give(self, taker: TakesStream, transport: StreamTransport | None) -> None:
        try:
            taker(transport)
        except Exception:
            _log.failure("who asked for a stream failed")
            if transport is not None:
                transport.abortConnection()
