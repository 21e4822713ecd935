"""Routing: which Agent opens a Client's connection. Never a wrong one: there is no fallback to another.

While an Agent with a running scan is away, what its Clients ask for is held for a while: what could not be tried must
not look like a closed port.
"""

from collections.abc import Callable
from functools import partial

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
        chosen, why_not = self._choose(agent)
        if chosen is None:
            self._not_tested(opening, client, why_not)
        else:
            self._start(opening, chosen, client)
        return opening.result

    def _choose(self, agent: str | None) -> tuple[str | None, str]:
        agents = self._snapshot().agents
        if agent is not None:
            record = agents.get(agent)
            if record is None or record.revoked:
                return None, f"agent {agent} is not registered"
            return agent, ""
        registered = [name for name, record in agents.items() if not record.revoked]
        if len(registered) == 1:
            return registered[0], ""
        if not registered:
            return None, "no agent is registered; add one by: socksfusion agent add NAME"
        return None, (
            f"{len(registered)} agents are registered and this port is nobody's own; "
            "give each agent a port by: socksfusion agent port NAME PORT"
        )

    def _start(self, opening: Opening, agent: str, client: str) -> None:
        visit = self._connected.get(agent)
        if visit is not None and visit.carrier is not None:
            self._scans.touch(agent)
            visit.carrier.open_stream(partial(self._stream_opened, opening, agent, client))
        elif self._scans.of(agent) is not None and self._hold_seconds > 0:
            self._hold(opening, agent, client)
        else:
            self._not_tested(opening, client, f"agent {agent} is not connected")

    def _stream_opened(self, opening: Opening, agent: str, client: str, transport: StreamTransport | None) -> None:
        if opening.done:
            if transport is not None:
                transport.protocol = opening
                transport.abortConnection()
        elif transport is None:
            # its turn never came, so nothing was tried: it may wait for the agent to come back
            self._start(opening, agent, client)
        else:
            opening.begin(transport)

    def _hold(self, opening: Opening, agent: str, client: str) -> None:
        held = self._held.setdefault(agent, {})
        if len(held) >= limits.HELD_OPENS:
            self._not_tested(opening, client, f"{len(held)} opens wait for agent {agent} already")
            return

        def too_long() -> None:
            held.pop(opening, None)
            self._not_tested(opening, client, f"agent {agent} did not come back within {self._hold_seconds:g} s")

        held[opening] = (self._clock.callLater(self._hold_seconds, too_long), client)

    def _agent_arrived(self, visit: Visit) -> None:
        for opening, (limit, client) in self._held.pop(visit.agent, {}).items():
            if limit.active():
                limit.cancel()
            if not opening.done:
                self._start(opening, visit.agent, client)

    def _not_tested(self, opening: Opening, client: str, why: str) -> None:
        if opening.done:
            return
        target = f"{opening.request.host}:{opening.request.port}"
        self._refusals.refuse("not-tested", client, f"{target} was not tried: {why}")
        opening.finish(Opened(Reply.GENERAL_FAILURE, detail=why))
