"""Routing: which Agent opens a Client's connection. Never a wrong one: there is no fallback to another.

While an Agent with a running scan is away, what its Clients ask for is held for a while: what could not be tried must
not look like a closed port.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from socksfusion import limits
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.opening import Opened, Opening
from socksfusion.proxy.scans import Scans
from socksfusion.proxy.visit import Visit
from socksfusion.refusals import Refusals
from socksfusion.registry.schema import Snapshot
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.messages import ConnectRequest
from socksfusion.wire.socks5 import Reply


class Router:
    """Opens Clients' connections through the Agents that serve.

    ``snapshot`` gives the registry as last seen. Opens that have to wait for their Agent wait ``hold_seconds``, at most
    ``limits.HELD_OPENS`` an Agent.
    """

    def __init__(
        self,
        clock: IReactorTime,
        snapshot: Callable[[], Snapshot],
        connected: ConnectedAgents,
        scans: Scans,
        refusals: Refusals,
        *,
        connect_seconds: float = limits.CONNECT_SECONDS,
        hold_seconds: float = limits.HOLD_SECONDS,
    ) -> None:
        self._clock = clock
        self._snapshot = snapshot
        self._connected = connected
        self._scans = scans
        self._refusals = refusals
        self._connect_seconds = connect_seconds
        # longer than the Agent's own limits: a dial that waits for its turn has not been tried and is no time-out
        self._outer_seconds = limits.DIAL_WAIT_SECONDS + connect_seconds + limits.ANSWER_MARGIN_SECONDS
        self._hold_seconds = hold_seconds
        self._held: dict[str, dict[Opening, tuple[IDelayedCall, str]]] = {}
        connected.arrived.append(self._agent_arrived)

    def open(self, host: str, port: int, agent: str | None, client: str) -> Deferred[Opened]:
        """Open ``host:port`` through ``agent``, or, where None, through the one that is registered.

        ``client`` names who asks, for the log. The result never fails; cancelling it cancels the dial.
        """
        request = ConnectRequest(host=host, port=port, timeout=self._connect_seconds)
        opening = Opening(self._clock, request, self._outer_seconds)
        chosen = self._choose(agent)
        if isinstance(chosen, _WhyNot):
            self._not_tested(opening, client, chosen)
        else:
            self._start(opening, chosen, client)
        return opening.result

    def _choose(self, agent: str | None) -> "str | _WhyNot":
        agents = self._snapshot().agents
        if agent is not None:
            record = agents.get(agent)
            if record is None or record.revoked:
                return _WhyNot("unregistered", f"agent {agent} is not registered")
            return agent
        registered = [name for name, record in agents.items() if not record.revoked]
        if not registered:
            return _WhyNot("unregistered", "no agent is registered; add one by: socksfusion agent add NAME")
        if len(registered) > 1:
            return _WhyNot(
                "ambiguous",
                f"{len(registered)} agents are registered and this port is nobody's own; "
                "give each agent a port by: socksfusion agent port NAME PORT",
            )
        # whoever began a scan on the shared port may go on after its agent was revoked, and must not reach another
        others = [scan.agent for scan in self._scans.all() if scan.agent != registered[0]]
        if others:
            return _WhyNot(
                "revoked-scan",
                f"the scan of agent {others[0]}, which is revoked, is not over; agent {registered[0]} is another",
            )
        return registered[0]

    def _start(self, opening: Opening, agent: str, client: str) -> None:
        visit = self._connected.get(agent)
        if visit is None or visit.carrier is None:
            self._wait(opening, agent, client)
            return
        self._scans.touch(agent)
        opening.expect_answer()
        opened = partial(self._stream_opened, opening, visit, client)
        opening.withdrawn = partial(visit.carrier.withdraw, opened)
        visit.carrier.open_stream(opened)

    def _stream_opened(self, opening: Opening, visit: Visit, client: str, transport: StreamTransport | None) -> None:
        if opening.done:
            if transport is not None:
                transport.protocol = opening
                transport.abortConnection()
        elif transport is not None:
            opening.begin(transport)
        elif self._connected.get(visit.agent) is visit:
            # its carrier is about to end. Nothing was tried
            self._wait(opening, visit.agent, client)
        else:
            self._start(opening, visit.agent, client)

    def _wait(self, opening: Opening, agent: str, client: str) -> None:
        """Hold the opening until ``agent`` arrives, if a scan of it runs."""
        opening.expect_nothing()
        if self._scans.of(agent) is None or self._hold_seconds <= 0:
            self._not_tested(opening, client, _WhyNot("away", f"agent {agent} is not connected"))
            return
        held = self._held.setdefault(agent, {})
        if len(held) >= limits.HELD_OPENS:
            self._not_tested(opening, client, _WhyNot("crowded", f"{len(held)} opens wait for agent {agent} already"))
            return

        def too_long() -> None:
            held.pop(opening, None)
            why = f"agent {agent} did not come back within {self._hold_seconds:g} s"
            self._not_tested(opening, client, _WhyNot("away", why))

        limit = self._clock.callLater(self._hold_seconds, too_long)
        held[opening] = (limit, client)

        def withdrawn() -> None:
            if held.pop(opening, None) is not None:
                limit.cancel()

        opening.withdrawn = withdrawn

    def _agent_arrived(self, visit: Visit) -> None:
        held = self._held.pop(visit.agent, {})
        for opening in list(held):
            if opening in held:
                limit, client = held.pop(opening)
                limit.cancel()
                self._start(opening, visit.agent, client)

    def _not_tested(self, opening: Opening, client: str, why: "_WhyNot") -> None:
        if opening.done:
            return
        target = f"{opening.request.host}:{opening.request.port}"
        self._refusals.refuse(f"not-tested-{why.rule}", client, f"{target} was not tried: {why.text}")
        opening.finish(Opened(Reply.GENERAL_FAILURE, detail=why.text))


class _WhyNot(NamedTuple):
    """Each cause is a rule of its own: one must not hide another in the log."""

    rule: str
    text: str
