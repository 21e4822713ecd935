"""The gate: which visiting Agent serves, which is refused and why.

Identity is the key in the registry, nothing else.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.log import make_logger, printable
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.host_admin import HostAdmin
from socksfusion.proxy.visit import REFUSAL_TEXTS, Reason, Visit
from socksfusion.refusals import Refusals
from socksfusion.registry.schema import Snapshot
from socksfusion.tunnel.liveness import Liveness
from socksfusion.wire.control_messages import ASK, PROTOCOL, Running
from socksfusion.wire.messages import Message

_log = make_logger()


class GateBook(Protocol):
    """What the gate reads of the registry and writes to it (``proxy.book.Book``)."""

    @property
    def snapshot(self) -> Snapshot:
        """The registry as last seen."""

    def look(self) -> "Deferred[Any]":
        """Read the registry anew; when it fires the snapshot shows all changes up to now."""

    def activate(self, digest: bytes) -> "Deferred[Any]":
        """Make a pending key the active one and retire the agent's older keys; when it fires the snapshot shows it."""

    def seen(self, agent: str, address: str, version: str, wall: float) -> None:
        """Note that an agent serves."""

    def left(self, agent: str, error: str | None, wall: float) -> None:
        """Note that it serves no more; ``error`` is why, unless it left in order."""

    def trouble(self, agent: str, why: str) -> None:
        """Note an agent's last error."""


class AgentGate(Service):
    """Judges every visit and looks after those that serve; when it is stopped it ends them all.

    A key that the registry knows as *pending* becomes the active one when it first comes; the older copy is refused as
    *replaced*. Of two programs with one key the older keeps its place if it answers a ping in time; the same program
    that comes back by another way replaces its own ghost at once. ``wall`` gives Unix seconds for what is written
    down, and for agents that are registered until then.
    """

    name = "gate"

    def __init__(
        self,
        book: GateBook,
        connected: ConnectedAgents,
        liveness: Liveness,
        refusals: Refusals,
        admin: HostAdmin,
        heartbeat_seconds: float = limits.HEARTBEAT_SECONDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.program_id = secrets.token_hex(16)
        self.heartbeat_seconds = heartbeat_seconds
        self._book = book
        self._connected = connected
        self._liveness = liveness
        self._refusals = refusals
        self._admin = admin
        self._wall = wall
        self._settled: dict[Visit, Callable[[], None]] = {}
        self._visits: set[Visit] = set()
        self._emptied: Deferred[None] | None = None

    def stopService(self) -> Deferred[None]:
        """End every visit in order, which cuts its Clients; fires when all are gone. Nobody must come any more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if not self._visits:
            return succeed(None)
        self._emptied = Deferred()
        for visit in list(self._visits):
            visit.end("the Proxy was stopped")
        return self._emptied

    @property
    def snapshot(self) -> Snapshot:
        """The registry as last seen."""
        return self._book.snapshot

    def expect(self, visit: Visit, settled: Callable[[], None]) -> None:
        """Somebody is at the door; ``settled`` is called once when ``visit`` is welcomed, refused or gone."""
        self._visits.add(visit)
        self._settled[visit] = settled

    def guest(self, visit: Visit) -> Callable[[], None]:
        """It wants the link site, and is no visit any more; gives what to call when it is gone."""
        self._visits.discard(visit)
        if self._emptied is not None and not self._visits:
            self._emptied.callback(None)
        return self._settled.pop(visit)

    def judge(self, visit: Visit) -> None:
        """Welcome or refuse a visitor that has said hello, or ask the registry or its rival first."""
        if visit.over or visit.hello is None:
            return
        if visit.hello.protocol != PROTOCOL:
            self._refuse(visit, "version")
            return
        reason = self._standing(visit)
        if reason == "unknown" and not visit.looked_up:
            # it may be younger than the last look: whoever is refused as unknown stays away for minutes
            visit.looked_up = True
            self._book.look().addBoth(lambda _: self.judge(visit)).addErrback(self._broken, visit)
            return
        if reason is not None:
            self._refuse(visit, reason)
            return
        visit.agent = self.snapshot.keys[visit.digest].agent
        rival = self._connected.get(visit.agent)
        if ASK in visit.hello.features:
            self._answer(visit, serving=rival is not None)
        elif rival is not None and rival.digest == visit.digest:
            self._meet(visit, rival)
        elif self.snapshot.keys[visit.digest].state == "pending":
            self._book.activate(visit.digest).addCallbacks(
                self._activated, self._not_activated, callbackArgs=(visit,), errbackArgs=(visit,)
            ).addErrback(self._broken, visit)
        elif rival is not None:
            # the older copy still serves and the registry says that this one is the active: a restored state
            self._dismiss(rival, "replaced")
            self._admit(visit)
        else:
            self._admit(visit)

    def heard(self, visit: Visit, message: Message) -> None:
        """A visitor has sent something after its hello: counts once it serves."""
        if self._connected.get(visit.agent) is visit:
            self._admin.heard(visit, message)

    def look(self) -> None:
        """Refuse everyone who serves and may no longer: after each change of the registry, and now and then."""
        for visit in self._connected.all():
            reason = self._standing(visit)
            if reason is not None:
                self._dismiss(visit, reason)

    def gone(self, visit: Visit, why: str) -> None:
        """A carrier is lost."""
        self._settle(visit)
        if visit.carrier is not None:
            self._liveness.forget(visit.carrier)
        if visit.since is not None:
            _log.info("agent {agent} at {peer} is gone: {why}", agent=visit.agent, peer=visit.peer, why=printable(why))
            error = None if self._left_in_order(visit) else why
            if self._connected.get(visit.agent) in (visit, None):
                self._book.left(visit.agent, error, self._wall())
            elif error is not None:
                # its place was taken before its connection ended: the agent itself is still here
                self._book.trouble(visit.agent, error)
        elif not visit.refused:
            self._refusals.refuse("agent-handshake", visit.peer, why)
        self._connected.remove(visit)
        self._visits.discard(visit)
        if self._emptied is not None and not self._visits:
            self._emptied.callback(None)

    def _left_in_order(self, visit: Visit) -> bool:
        """Whether the Agent or this Proxy was stopped: no error, and not to hide the last one in the registry."""
        if visit.refused or visit.carrier is None or visit.carrier.failure is not None:
            return False
        return self._emptied is not None or visit.carrier.session.peer_goes_away == 0

    def _standing(self, visit: Visit) -> Reason | None:
        """Why the registry does not let this key in, or None."""
        snapshot = self.snapshot
        key = snapshot.keys.get(visit.digest)
        agent = snapshot.agents.get(key.agent) if key is not None else None
        if key is None or agent is None or agent.shut_out(self._wall()):
            return "unknown"
        return "replaced" if key.state == "retired" else None

    def _meet(self, visit: Visit, rival: Visit) -> None:
        assert visit.hello is not None
        assert rival.hello is not None
        assert rival.carrier is not None
        if rival.hello.program_id == visit.hello.program_id:
            self._cut(rival, "the same program came back by another way")
            self._admit(visit)
            return

        def answered(alive: bool) -> None:
            if visit.over:
                return
            if alive and self._connected.get(visit.agent) is rival:
                self._refuse(visit, "duplicate")
                return
            if not alive:
                self._cut(rival, "another program with its key came, and it did not answer")
            self.judge(visit)

        rival.carrier.check(limits.URGENT_PING_SECONDS).addCallback(answered).addErrback(self._broken, visit)

    def _activated(self, _result: object, visit: Visit) -> None:
        rival = self._connected.get(visit.agent)
        if rival is not None and rival.digest != visit.digest:
            self._dismiss(rival, "replaced")
        if not visit.over:
            self.judge(visit)

    def _not_activated(self, failure: Failure, visit: Visit) -> None:
        _log.error("the registry could not take up the new key of {agent}: {why}", agent=visit.agent, why=failure.value)
        visit.end("the registry could not take up its key")

    def _broken(self, failure: Failure, visit: Visit) -> None:
        """A stray exception ends its own visit only (attacks.md, row J3)."""
        _log.failure("the visit from {peer} could not be judged", failure=failure, peer=visit.peer)
        visit.end("an error of the Proxy's own")

    def _admit(self, visit: Visit) -> None:
        assert visit.carrier is not None
        assert visit.hello is not None
        self._settle(visit)
        visit.welcome()
        self._liveness.watch(visit.carrier, lambda: visit.control.send(Running()))
        _log.info(
            "agent {agent} serves from {peer}, program {program}",
            agent=visit.agent,
            peer=visit.peer,
            program=printable(visit.hello.program),
        )
        self._book.seen(visit.agent, visit.peer, printable(visit.hello.program), self._wall())
        self._admin.arrived(visit)
        self._connected.add(visit)

    def _refuse(self, visit: Visit, reason: Reason) -> None:
        self._settle(visit)
        name = visit.agent or f"key {visit.digest.hex()[:16]}"
        self._refusals.refuse(f"agent-{reason}", visit.peer, f"{name}: {REFUSAL_TEXTS[reason]}")
        if visit.agent:
            self._book.trouble(visit.agent, f"refused: {REFUSAL_TEXTS[reason]}")
        visit.refuse(reason)

    def _answer(self, visit: Visit, *, serving: bool) -> None:
        """Of one that only asks nothing changes: no key, and nobody's place."""
        self._settle(visit)
        _log.info("agent {agent} at {peer} asks whether it is let in", agent=visit.agent, peer=visit.peer)
        visit.tell_standing(pending=self.snapshot.keys[visit.digest].state == "pending", serving=serving)

    def _dismiss(self, visit: Visit, reason: Reason) -> None:
        """End a visit that serves."""
        self._connected.remove(visit)
        self._refuse(visit, reason)

    def _cut(self, visit: Visit, why: str) -> None:
        self._connected.remove(visit)
        if visit.carrier is not None:
            visit.carrier.abort(why)

    def _settle(self, visit: Visit) -> None:
        settled = self._settled.pop(visit, None)
        if settled is not None:
            settled()
