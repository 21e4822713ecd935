"""Routing: which Agent opens a Client's connection. Never a wrong one: there is no fallback to another.

While an Agent with a running scan is away, what its Clients ask for is held for a while: what could not be tried must
not look like a closed port.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Final, Protocol, TypeAlias

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.proxy.access import Access, Grant, WhyNot
from socksfusion.proxy.accounts import Accounts
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.held import HeldOpens
from socksfusion.proxy.live import LiveStreams
from socksfusion.proxy.opening import Associated, Opened, Opening, Request
from socksfusion.proxy.scan_record import ScanRecord
from socksfusion.proxy.trail import Footprint, Trail
from socksfusion.proxy.visit import Visit
from socksfusion.refusals import Refusals
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.control_messages import NARROW, UDP
from socksfusion.wire.requests import AssociateRequest, ConnectRequest
from socksfusion.wire.socks5 import Reply

# the ids of requests: another program's are others, and a record is read over many starts
_PROGRAM: Final = secrets.token_hex(4)

Target: TypeAlias = tuple[str, int] | None
"""Host and port; None: datagrams are to be relayed."""


class RunningScans(Protocol):
    """What the router asks of ``proxy.scans.Scans``."""

    def find(self, grant: Grant) -> ScanRecord | None:
        """The record of the running scan that an open belongs to; None where it would begin one."""

    def begin(self, grant: Grant) -> ScanRecord:
        """A Client opens a connection: the record of its scan, which begins unless it runs."""


@dataclass(slots=True, eq=False)
class _Ask:
    """One open until its end."""

    target: Target
    access: Access
    grant: Grant
    opening: Opening
    id: str
    footprint: Footprint | None
    record: ScanRecord | None = None
    waited: bool = False
    """Whether time has passed since its rights were judged."""
    lost: int = 0
    """How often its agent was lost while it was asked."""

    @property
    def user(self) -> str:
        """Among whom turns are taken: an account, a scan, or the Clients of one address."""
        return self.grant.client or self.grant.scan or self.access.peer.rsplit(":", 1)[0]


class Router(Service):
    """Opens Clients' connections through the Agents that serve.

    Rights are judged at every open, and again where it had to wait. Opens wait for their Agent, also those that its
    loss has interrupted: at most ``limits.HELD_OPENS`` an Agent. When the router is stopped, those are answered.
    ``client_seen(client)`` is called when an account opens something. ``trail`` records what ends how, ``ids`` are
    those of requests, one after the other.
    """

    name = "router"

    def __init__(
        self,
        clock: IReactorTime,
        accounts: Accounts,
        connected: ConnectedAgents,
        scans: RunningScans,
        live: LiveStreams,
        refusals: Refusals,
        client_seen: Callable[[str], object] = lambda client: None,
        trail: Trail | None = None,
        ids: Iterator[str] | None = None,
    ) -> None:
        self._trail = trail
        self._ids = ids or (f"{_PROGRAM}-{number:x}" for number in count(1))
        self._clock = clock
        self._accounts = accounts
        self._connected = connected
        self._scans = scans
        self._live = live
        self._refusals = refusals
        self._client_seen = client_seen
        self._held: dict[str, HeldOpens[_Ask]] = {}
        self._stopping = False
        connected.arrived.append(self._agent_arrived)

    def stopService(self) -> None:
        """Nobody comes back any more: what waits is told so, and stands in its scan's record."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = True
        for held in self._held.values():
            for ask in held.take_all():
                self._refuse(ask, _STOPPED)

    def look(self) -> None:
        """Answer what is held for who may open nothing any more: a scan that was stopped tells what it left."""
        for held in list(self._held.values()):
            for ask in held:
                judged = self._accounts.standing(ask.access)
                if isinstance(judged, WhyNot) and held.remove(ask):
                    self._refuse(ask, judged)

    def open(self, host: str, port: int, access: Access) -> Deferred[Opened]:
        """Open ``host:port`` for ``access``. The result never fails; cancelling it cancels the dial."""
        return self._open((host, port), access)

    def associate(self, access: Access) -> Deferred[Associated]:
        """Ask for a stream that relays datagrams. The result never fails; cancelling it resets the stream."""
        return self._open(None, access).addCallback(
            lambda opened: Associated(opened.reply, opened.stream, opened.detail, opened.record)
        )

    def _open(self, target: Target, access: Access) -> Deferred[Opened]:
        judged = self._accounts.standing(access)
        request = next(self._ids)
        footprint = self._trail.begin(target, access.peer, request) if self._trail is not None else None
        if isinstance(judged, WhyNot):
            refused = self._refused(target, access, judged)
            if footprint is not None:
                footprint.belongs(access.agent or "", access.client, access.scan)
                footprint.answered(refused)
            return succeed(refused)
        if judged.client is not None:
            self._client_seen(judged.client)
        # longer than the Agent's own limits: a dial that waits for its turn has not been tried and is no time-out
        outer_seconds = limits.DIAL_WAIT_SECONDS + judged.connect_seconds + limits.ANSWER_MARGIN_SECONDS
        ask = _Ask(target, access, judged, Opening(self._clock, outer_seconds), request, footprint)
        ask.opening.carrier_lost = partial(self._carrier_lost, ask)
        result = ask.opening.result.addCallbacks(partial(self._ended, ask), partial(self._given_up, ask))
        self._start(ask)
        return result

    # -- the way to a stream ---------------------------------------------------------------------------------------

    def _start(self, ask: _Ask) -> None:
        agent = ask.grant.agent
        visit = self._connected.get(agent)
        if self._accounts.is_paused(agent):
            self._refuse(ask, WhyNot("paused", f"agent {agent} is paused by its admin", Reply.NOT_ALLOWED))
            return
        if visit is None or visit.carrier is None:
            self._wait(ask)
            return
        lacking = _lacking(visit, ask)
        if lacking is not None:
            self._refuse(ask, lacking)
            return
        ask.record = self._scans.begin(ask.grant)
        ask.opening.expect_answer()
        opened = partial(self._stream_opened, ask, visit)
        ask.opening.withdrawn = partial(visit.carrier.withdraw, opened)
        visit.carrier.open_stream(opened, ask.user)
        # where it was opened at once this is never asked again
        ask.waited = True

    def _stream_opened(self, ask: _Ask, visit: Visit, transport: StreamTransport | None) -> None:
        opening = ask.opening
        if transport is None:
            if opening.done:
                return
            if self._connected.get(visit.agent) is visit:
                # its carrier is about to end. Nothing was tried
                self._wait(ask)
            else:
                self._start(ask)
            return
        judged = self._accounts.standing(ask.access) if ask.waited and not opening.done else ask.grant
        if isinstance(judged, WhyNot):
            self._refuse(ask, judged)
        elif judged.agent != ask.grant.agent:
            self._refuse(ask, WhyNot("ambiguous", f"this port is agent {ask.grant.agent}'s no more"))
        if opening.done:
            transport.protocol = opening
            transport.abortConnection()
            return
        self._live.add(ask.access, ask.grant, transport)
        opening.begin(transport, _request(ask))

    def _wait(self, ask: _Ask) -> None:
        """Hold the open until its agent arrives, if a scan of it runs."""
        agent, seconds = ask.grant.agent, ask.grant.hold_seconds
        ask.opening.expect_nothing()
        ask.waited = True
        ask.record = ask.record or self._scans.find(ask.grant)
        if self._stopping:
            self._refuse(ask, _STOPPED)
            return
        if ask.record is None or seconds <= 0:
            self._refuse(ask, WhyNot("away", f"agent {agent} is not connected"))
            return
        held = self._held.setdefault(agent, HeldOpens(self._clock))
        late = WhyNot("away", f"agent {agent} did not come back within {seconds:g} s")
        ask.opening.withdrawn = partial(held.remove, ask)
        crowded_out = held.add(ask, ask.user, seconds, partial(self._refuse, ask, late))
        if crowded_out is not None:
            self._refuse(crowded_out, WhyNot("crowded", f"{len(held)} opens wait for agent {agent} already"))

    def _carrier_lost(self, ask: _Ask) -> None:
        """Its agent was lost before it could tell how the dial ended: it is asked again when it is back."""
        judged = self._accounts.standing(ask.access)
        ask.lost += 1
        if isinstance(judged, WhyNot):
            self._refuse(ask, judged)
        elif ask.lost > limits.LOST_DIALS:
            self._refuse(ask, WhyNot("lost", f"agent {ask.grant.agent} was lost during the dial, {ask.lost} times"))
        else:
            self._start(ask)

    def _agent_arrived(self, visit: Visit) -> None:
        held = self._held.pop(visit.agent, None)
        for ask in held.take_all() if held is not None else ():
            # one that was answered meanwhile may have taken others along
            if not ask.opening.done:
                self._start(ask)

    # -- ends ------------------------------------------------------------------------------------------------------

    def _ended(self, ask: _Ask, opened: Opened) -> Opened:
        if ask.footprint is not None:
            ask.footprint.belongs(ask.grant.agent, ask.grant.client, _scan(ask))
            ask.footprint.answered(opened)
        if ask.target is None:
            return replace(opened, record=ask.record)
        host, port = ask.target
        if ask.record is not None:
            ask.record.result(ask.access, host, port, opened.reply, opened.detail)
            if opened.stream is not None:
                ask.record.stream_opened(host, port, opened.stream, opened.bound_host, opened.early)
        return opened

    def _given_up(self, ask: _Ask, failure: Failure) -> Failure:
        """Its Client went away and knows nothing of its target. Whether the Agent has dialled by then can't be told."""
        if ask.footprint is not None:
            ask.footprint.belongs(ask.grant.agent, ask.grant.client, _scan(ask))
            ask.footprint.end()
        if ask.record is not None and ask.target is not None:
            until = "answered" if ask.opening.asked else "could be asked"
            ask.record.not_tested(*ask.target, f"its client went away before agent {ask.grant.agent} {until}")
        return failure

    def _refuse(self, ask: _Ask, why: WhyNot) -> None:
        if not ask.opening.done:
            ask.opening.finish(self._refused(ask.target, ask.access, why))

    def _refused(self, target: Target, access: Access, why: WhyNot) -> Opened:
        what = "an association" if target is None else f"{target[0]}:{target[1]}"
        kind = "denied" if why.reply is Reply.NOT_ALLOWED else "not-tested"
        self._refusals.refuse(f"{kind}-{why.rule}", access.peer, f"{what} was not tried: {why.text}")
        return Opened(why.reply, detail=why.text)


_STOPPED: Final = WhyNot("stopped", "the Proxy was stopped")


def _lacking(visit: Visit, ask: _Ask) -> WhyNot | None:
    """What this Agent's program can't do for it: an older one would go wider than was allowed."""
    features = visit.hello.features if visit.hello is not None else []
    if ask.target is None and UDP not in features:
        why = f"the program of agent {visit.agent} is too old for UDP"
        return WhyNot("udp", why, Reply.COMMAND_NOT_SUPPORTED)
    if ask.grant.allow and NARROW not in features:
        return WhyNot(
            "narrow", f"the program of agent {visit.agent} is too old to narrow what client or scan may reach"
        )
    return None


def _scan(ask: _Ask) -> str:
    return ask.record.scan.id if ask.record is not None else ""


def _request(ask: _Ask) -> Request:
    scan = _scan(ask)
    client, allow = ask.grant.client or "", ask.grant.allow
    if ask.target is None:
        return AssociateRequest(scan=scan, client=client, allow=allow, id=ask.id)
    host, port = ask.target
    return ConnectRequest(host, port, ask.grant.connect_seconds, scan, client, allow, ask.id)
