"""The link site's own listener, for those who want it on another address or port than the agents'."""

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory

from socksfusion import descriptors, limits
from socksfusion.admission import Admission
from socksfusion.proxy.link_connection import LinkConnection
from socksfusion.proxy.link_site import LinkSite
from socksfusion.refusals import Refusals
from socksfusion.tunnel.tls import TLSMachine


class LinksFactory(ServerFactory):
    """Builds the site's connections, with ``context`` until :meth:`use` brings a newer one."""

    noisy = False

    def __init__(
        self,
        reactor: IReactorTime,
        context: SSL.Context,
        site: LinkSite,
        refusals: Refusals,
        *,
        per_address: int = limits.UNAUTHENTICATED_PER_ADDRESS,
        total: int = limits.UNAUTHENTICATED_TOTAL,
    ) -> None:
        self._reactor = reactor
        self._context = context
        self._site = site
        self._refusals = refusals
        self._admission = Admission(per_address, total)
        self.headroom = descriptors.for_work()

    def use(self, context: SSL.Context) -> None:
        """From now on; connections that stand keep theirs."""
        self._context = context

    def buildProtocol(self, addr: IAddress | None) -> LinkConnection | None:
        """A connection; None (closed at once) above the bounds on strangers and on open files."""
        peer: Any = addr
        refused, rule = self.headroom.refusal(), "descriptors"
        if refused is None:
            refused, rule = self._admission.take(peer.host), "links-flood"
        if refused is not None:
            self._refusals.refuse(rule, f"{peer.host}:{peer.port}", refused)
            return None
        tls = TLSMachine(self._context, server=True)
        return LinkConnection(
            self._reactor, tls, self._site, self._refusals, lambda: self._admission.give_back(peer.host)
        )
