"""Live streams, by the rights that they were opened under: they end when those are gone."""

from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.log import make_logger
from socksfusion.networks import intersected
from socksfusion.proxy.access import Access, Grant, WhyNot
from socksfusion.proxy.accounts import Accounts
from socksfusion.repeating import Repeating
from socksfusion.tunnel.stream import StreamTransport

_log = make_logger()


class LiveStreams(Repeating):
    """Every stream of a Client, from its SYN on, under the rights that opened it.

    Driven by the router (:meth:`add`), the ends of the streams, and two that have rights judged anew: the registry's
    changes (:meth:`look`), and a timer for those that end by time.
    """

    name = "live-streams"

    def __init__(self, clock: IReactorTime, accounts: Accounts) -> None:
        super().__init__(clock, limits.RIGHTS_SECONDS, self.look)
        self._accounts = accounts
        self._streams: dict[_Rights, dict[StreamTransport, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._streams.values()))

    def add(self, access: Access, grant: Grant, stream: StreamTransport) -> None:
        """``stream`` is opened by ``access``, which has ``grant`` now."""
        # many Clients have the same rights, and a stream belongs to its agent whatever the shared port leads to later
        rights = _Rights(access._replace(peer="", agent=grant.agent), grant.allow)
        self._streams.setdefault(rights, {})[stream] = None

        def ended(_reason: Failure) -> None:
            streams = self._streams.get(rights, {})
            streams.pop(stream, None)
            if not streams:
                self._streams.pop(rights, None)

        stream.when_lost(ended)

    def look(self) -> None:
        """Reset every stream whose access may open nothing any more, or not as much."""
        for rights in list(self._streams):
            judged = self._accounts.standing(rights.access)
            if isinstance(judged, WhyNot):
                self._end(rights, judged.text)
            elif not _covers(judged.allow, rights.allow):
                self._end(rights, "what they may reach was narrowed")

    def _end(self, rights: "_Rights", why: str) -> None:
        # each is told of its end in a later turn of the reactor, so that this removes no other
        streams = self._streams.pop(rights)
        _log.info("{count} streams end: {why}", count=len(streams), why=why)
        for stream in streams:
            stream.abortConnection()


class _Rights(NamedTuple):
    """What a stream was opened under."""

    access: Access
    """Of all Clients alike, so without a peer."""
    allow: tuple[str, ...]
    """As in :class:`Grant`."""


def _covers(networks: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether ``networks`` allow all that ``others`` did."""
    return not networks or networks == others or intersected(networks, others) == intersected(others, others)
