"""What the admin of an Agent's host tells the Proxy: paused, resumed, no more scans, uninstalled."""

import time
from collections.abc import Callable
from typing import Protocol

from socksfusion import limits
from socksfusion.bucket import Bucket
from socksfusion.log import make_logger
from socksfusion.proxy.visit import Visit
from socksfusion.registry.schema import Snapshot, WhyEnded
from socksfusion.wire.control_messages import Paused, Resumed, StopScan, Uninstalled
from socksfusion.wire.messages import Message

_log = make_logger()


class AdminBook(Protocol):
    """Where it is written down (``proxy.book.Book``); nothing here waits for it."""

    @property
    def snapshot(self) -> Snapshot:
        """The registry as last seen."""

    def paused(self, agent: str, paused: bool, until: float | None = None) -> None:
        """Note that an agent was paused, ``until`` then (Unix seconds) if that ends by itself, or resumed."""

    def uninstalled(self, agent: str, uninstalled: bool) -> None:
        """Note that an agent was uninstalled, or came back all the same."""


class HostAdmin:
    """Heeds what the Agents that serve tell of their admins.

    ``stop_scans(agent, why)`` ends every scan of an agent (``proxy.scans.Scans.stop_of``). That an agent is paused is
    read from the registry (``Accounts.is_paused``), so that it counts while the agent is away. ``seconds`` is a
    monotonic clock: an agent that has more to say than an admin could is sent away.
    """

    def __init__(
        self,
        book: AdminBook,
        stop_scans: Callable[[str, WhyEnded], None],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        # of each agent that has said something: no more than are registered
        self._words: dict[str, Bucket] = {}
        self._book = book
        self._stop_scans = stop_scans
        # what was told may not be in the snapshot yet
        self._paused: set[str] = set()
        self._uninstalled: set[str] = set()

    def arrived(self, visit: Visit) -> None:
        """An Agent serves from now on: what its admin told before is over, unless it is told again."""
        record = self._book.snapshot.agents.get(visit.agent)
        if visit.agent in self._paused or (record is not None and record.paused):
            self._resumed(visit.agent)
        if visit.agent in self._uninstalled or (record is not None and record.uninstalled):
            self._uninstalled.discard(visit.agent)
            self._book.uninstalled(visit.agent, False)

    def heard(self, visit: Visit, message: Message) -> None:
        """An Agent that serves has sent ``message``; one that is nothing of its admin's is ignored."""
        if isinstance(message, Paused | Resumed | StopScan | Uninstalled) and not self._may_say(visit.agent):
            # each is a line in the log and a change of the registry
            if visit.carrier is not None:
                visit.carrier.fail("more words of its admin than any admin has")
            return
        match message:
            case Paused(until=until):
                _log.info("agent {agent} is paused by its admin", agent=visit.agent)
                self._paused.add(visit.agent)
                self._book.paused(visit.agent, True, until or None)
            case Resumed():
                _log.info("agent {agent} is resumed by its admin", agent=visit.agent)
                self._resumed(visit.agent)
            case StopScan():
                _log.info("the admin of agent {agent} stops its scans", agent=visit.agent)
                self._stop_scans(visit.agent, "admin")
            case Uninstalled():
                # its scan goes on, so that the shared port leads to no other agent before an operator has a say
                _log.warn("agent {agent} was uninstalled by its admin", agent=visit.agent)
                self._uninstalled.add(visit.agent)
                self._book.uninstalled(visit.agent, True)

    def _may_say(self, agent: str) -> bool:
        if agent not in self._words:
            self._words[agent] = Bucket(self._seconds, limits.ADMIN_WORDS_PER_SECOND, limits.ADMIN_WORDS_AT_ONCE)
        return self._words[agent].tokens() >= 1 and self._words[agent].spend(1) >= 0

    def _resumed(self, agent: str) -> None:
        self._paused.discard(agent)
        self._book.paused(agent, False)
