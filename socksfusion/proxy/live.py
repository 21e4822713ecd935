"""Live streams, by the rights that they were opened under: they end when those are gone."""

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
        self._rights: dict[tuple[Access, tuple[str, ...]], _Rights] = {}

    def __len__(self) -> int:
        return sum(len(rights.streams) for rights in self._rights.values())

    def add(self, access: Access, grant: Grant, stream: StreamTransport) -> None:
        """``stream`` is opened by ``access``, which has ``grant`` now."""
        # many Clients have the same rights, and a stream belongs to its agent whatever the shared port leads to later
        key = Access("", grant.agent, access.client, access.scan, access.token), grant.allow
        rights = self._rights.get(key)
        if rights is None:
            rights = self._rights[key] = _Rights(*key, self._rights)
        rights.streams[stream] = None
        stream.when_lost(rights.stream_ended)

    def look(self) -> None:
        """Reset every stream whose access may open nothing any more, or not as much."""
        for rights in list(self._rights.values()):
            judged = self._accounts.standing(rights.access)
            if isinstance(judged, WhyNot):
                self._end(rights, judged.text)
            elif not _covers(judged.allow, rights.allow):
                self._end(rights, "what they may reach was narrowed")

    def _end(self, rights: "_Rights", why: str) -> None:
        # each is told of its end in a later turn of the reactor, so that this removes no other
        _log.info("{count} streams end: {why}", count=len(rights.streams), why=why)
        for stream in rights.forget():
            stream.abortConnection()


class _Rights:
    """What streams were opened under, and those that are open: among ``all_rights`` as long as there are any.

    ``access`` is of all their Clients alike, so without a peer; ``allow`` is as in :class:`Grant`.
    """

    __slots__ = ("_all", "access", "allow", "streams")

    def __init__(
        self, access: Access, allow: tuple[str, ...], all_rights: "dict[tuple[Access, tuple[str, ...]], _Rights]"
    ) -> None:
        self.access = access
        self.allow = allow
        self.streams: dict[StreamTransport, None] = {}
        self._all = all_rights

    def stream_ended(self, stream: StreamTransport, _reason: Failure) -> None:
        """One of the streams is over."""
        if stream in self.streams:
            del self.streams[stream]
            if not self.streams:
                self.forget()

    def forget(self) -> dict[StreamTransport, None]:
        """Be among all rights no more; the streams that were open."""
        del self._all[self.access, self.allow]
        streams, self.streams = self.streams, {}
        return streams


def _covers(networks: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether ``networks`` allow all that ``others`` did."""
    return not networks or networks == others or intersected(networks, others) == intersected(others, others)
