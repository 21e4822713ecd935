"""The agents' listener: a carrier for each connection, bounded until the visitor has identified itself.

Who turns out to want the link site is handed to it before a byte reaches the tunnel's parsers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory

from socksfusion import descriptors, limits
from socksfusion.admission import Admission
from socksfusion.proxy.gate import AgentGate
from socksfusion.proxy.link_connection import LinkConnection
from socksfusion.proxy.link_site import LinkSite
from socksfusion.proxy.visit import Visit
from socksfusion.refusals import Refusals
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.tls import TLSMachine
from socksfusion.wire.yamux.session import Session


class AgentsFactory(ServerFactory):
    """Builds the carriers of Agents that dial in, with ``context`` until :meth:`use` brings a newer one."""

    noisy = False

    def __init__(
        self,
        reactor: IReactorTime,
        context: SSL.Context,
        gate: AgentGate,
        refusals: Refusals,
        make_session: Callable[[float], Session],
        *,
        site: LinkSite | None = None,
        handshake_seconds: float = limits.HANDSHAKE_SECONDS,
        per_address: int = limits.UNAUTHENTICATED_PER_ADDRESS,
        total: int = limits.UNAUTHENTICATED_TOTAL,
    ) -> None:
        self._context = context
        self._reactor = reactor
        self._gate = gate
        self._refusals = refusals
        self._make_session = make_session
        self._handshake_seconds = handshake_seconds
        self._site = site
        self._admission = Admission(per_address, total)
        self.headroom = descriptors.for_work()

    def use(self, context: SSL.Context) -> None:
        """From now on; connections that stand keep theirs."""
        self._context = context

    def buildProtocol(self, addr: IAddress | None) -> Carrier | None:
        """A carrier with its visit; None (closed at once) above the bounds on strangers and on open files."""
        peer: Any = addr
        refused = self.headroom.refusal()
        if refused is not None:
            self._refusals.refuse("descriptors", f"{peer.host}:{peer.port}", refused)
            return None
        refused = self._admission.take(peer.host)
        if refused is not None:
            self._refusals.refuse("agents-flood", f"{peer.host}:{peer.port}", refused)
            return None
        visit = Visit(self._gate)
        carrier = Carrier(
            self._reactor,
            self._context,
            visit,
            self._make_session,
            self._refusals,
            server=True,
            guests=None if self._site is None else partial(self._guest, visit, self._site),
        )
        carrier.peer = f"{peer.host}:{peer.port}"
        visit.carrier = carrier
        self._gate.expect(visit, self._clock_out(carrier, peer.host))
        return carrier

    def _guest(self, visit: Visit, site: LinkSite, tls: TLSMachine) -> LinkConnection:
        """Who is no Agent gets the link site, and counts as a stranger until it is gone."""
        return LinkConnection(self._reactor, tls, site, self._refusals, self._gate.guest(visit))

    def _clock_out(self, carrier: Carrier, host: str) -> Callable[[], None]:
        """Give TLS and hello together their time; the result is called when the visit is settled."""

        def too_slow() -> None:
            if not carrier.given_away:
                carrier.abort(f"no hello within {self._handshake_seconds:g} s")

        deadline = self._reactor.callLater(self._handshake_seconds, too_slow)

        def settled() -> None:
            self._admission.give_back(host)
            if deadline.active():
                deadline.cancel()

        return settled
