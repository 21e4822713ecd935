"""Who waits for a stream of a carrier: an Agent acknowledges only so many at once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from socksfusion.log import make_logger
from socksfusion.tunnel.stream import StreamTransport

if TYPE_CHECKING:
    from socksfusion.tunnel.carrier import Carrier

_log = make_logger()

TakesStream: TypeAlias = Callable[[StreamTransport | None], None]
"""Takes a stream's transport, without a protocol yet, or None where its carrier can open no more streams."""


class StreamQueue:
    """Opens the streams of ``carrier``, first come, first served.

    What a taker raises is logged, resets its stream, and hinders no other.
    """

    def __init__(self, carrier: "Carrier") -> None:
        self._carrier = carrier
        self._waiting: dict[TakesStream, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def possible(self) -> bool:
        """Whether a stream can be opened now, or once earlier ones are acknowledged."""
        carrier, session = self._carrier, self._carrier.session
        gone_away = session.closed or session.going_away or session.peer_goes_away is not None
        return carrier.handshaken and not (carrier.closing or gone_away or session.used_up)

    def open(self, taker: TakesStream) -> None:
        """Give ``taker`` a stream at once, or in its turn; None where the carrier takes no more."""
        carrier = self._carrier
        if carrier.session.used_up:
            carrier.end("the numbers of its streams are used up")
        if not self.possible:
            self._give(taker, None)
        elif carrier.session.can_open and not self._waiting:
            self._give(taker, self._new_stream())
        else:
            self._waiting[taker] = None

    def withdraw(self, taker: TakesStream) -> None:
        """``taker`` waits no more; harmless for one that doesn't wait."""
        self._waiting.pop(taker, None)

    def serve(self) -> None:
        """Give those who wait their streams, as far as the session opens some."""
        carrier = self._carrier
        while self._waiting and not carrier.closing and carrier.session.can_open:
            taker = next(iter(self._waiting))
            del self._waiting[taker]
            self._give(taker, self._new_stream())

    def give_up(self) -> None:
        """There will be no more streams for those who wait now."""
        waiting, self._waiting = self._waiting, {}
        for taker in waiting:
            self._give(taker, None)

    def _new_stream(self) -> StreamTransport:
        carrier = self._carrier
        carrier.flush_soon()
        return StreamTransport(carrier.session.open_stream(carrier.seconds()), carrier, carrier.peer)

    def _give(self, taker: TakesStream, transport: StreamTransport | None) -> None:
        try:
            taker(transport)
        except Exception:
            _log.failure("who asked for a stream failed")
            if transport is not None:
                transport.abortConnection()
