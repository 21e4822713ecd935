"""The Proxy put together: the agents' listener, the Clients' listeners, the registry, and what looks after them."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.protocol import ServerFactory

from socksfusion import limits
from socksfusion.audit import AuditWriter, open_audit
from socksfusion.endpoints import Listener, is_layered
from socksfusion.identity.state import StateFolder
from socksfusion.program import Program
from socksfusion.proxy.access import Access
from socksfusion.proxy.accounts import Accounts
from socksfusion.proxy.agents import AgentsFactory
from socksfusion.proxy.associations import Associations
from socksfusion.proxy.book import Book
from socksfusion.proxy.certificate import ProxyCertificate
from socksfusion.proxy.clients import ClientFactory
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.front import Front
from socksfusion.proxy.gate import AgentGate
from socksfusion.proxy.guessing import Guessing
from socksfusion.proxy.host_admin import HostAdmin
from socksfusion.proxy.link_site import LinkSite
from socksfusion.proxy.links import LinksFactory
from socksfusion.proxy.live import LiveStreams
from socksfusion.proxy.ports import OwnPorts
from socksfusion.proxy.routing import Router
from socksfusion.proxy.scans import Scans
from socksfusion.proxy.trail import Trail
from socksfusion.refusals import OverdueRefusals, Refusals
from socksfusion.registry.schema import Snapshot
from socksfusion.registry.watch import RegistryWatch
from socksfusion.repeating import Repeating
from socksfusion.tunnel.liveness import Liveness
from socksfusion.tunnel.relay import join
from socksfusion.tunnel.sweeper import Sweeper
from socksfusion.wire.yamux.session import Session
from socksfusion.wire.yamux.windows import ProcessBudget


class Proxy:
    """Every part of a running Proxy by name; the manhole's ``proxy``.

    Made by :func:`build`; the attributes that are services are children of the program.
    """

    def __init__(self, program: Program) -> None:
        options, reactor = program.options, program.reactor
        self.state = StateFolder(Path(options["state"])).open()
        site = options["links-certificate"], options["links-key"]
        own = (Path(site[0]), Path(site[1])) if site[0] is not None else None
        self.certificate = ProxyCertificate(reactor, self.state, site=own)
        self.refusals = Refusals(reactor.seconds)
        self.watch = RegistryWatch(reactor, self.state.registry_file)
        self.book = Book(reactor, self.watch)
        self.connected = ConnectedAgents()
        self.scans = Scans(reactor, self.book, self.connected, options["scan-idle"])
        self.guessing = Guessing(reactor, self.refusals)
        self.site = LinkSite(self.watch, self.state, self.guessing)
        self.links = LinksFactory(reactor, self.certificate.site_context, self.site, self.refusals)
        self.certificate.observe(lambda _: self.links.use(self.certificate.site_context))
        self._take_in_agents(program)
        self._serve_clients(program)
        self.watch.observe(self._registry_changed)

    def _take_in_agents(self, program: Program) -> None:
        options, reactor = program.options, program.reactor
        self.liveness = Liveness(
            reactor,
            ping_seconds=options["ping"],
            pings_missed=options["pings-missed"],
            heartbeat_seconds=options["heartbeat"],
        )
        admin = HostAdmin(self.book, self.scans.stop_of)
        self.gate = AgentGate(self.book, self.connected, self.liveness, self.refusals, admin, options["heartbeat"])
        self.agents = AgentsFactory(
            reactor,
            self.certificate.context,
            self.gate,
            self.refusals,
            _session_maker(program),
            site=self.site,
            handshake_seconds=options["handshake"],
            per_address=options["unauthenticated-per-address"],
            total=options["unauthenticated-total"],
        )
        self.certificate.observe(self.agents.use)

    def _serve_clients(self, program: Program) -> None:
        options, reactor = program.options, program.reactor
        self.sweeper = Sweeper(reactor, options["half-closed"])
        self.accounts = Accounts(
            lambda: self.watch.snapshot,
            required=options["authentication"] == "required",
            connect_seconds=options["connect-timeout"],
            hold_seconds=options["hold"],
            scanned=self.scans.agents,
        )
        self.live = LiveStreams(reactor, self.accounts)
        self.router = Router(
            reactor,
            self.accounts,
            self.connected,
            self.scans,
            self.live,
            self.refusals,
            lambda client: self.book.client_seen(client, time.time()),
            self._trail(program),
        )
        self.front = Front(
            reactor,
            self.router,
            self.accounts,
            self.guessing,
            self.refusals,
            partial(join, sweeper=self.sweeper),
            sweeper=self.sweeper,
            associations=Associations(reactor, self.router, self.refusals),
            negotiation_seconds=options["negotiation"],
        )
        self.ports = OwnPorts(
            reactor,
            self._front_for,
            lambda: self.watch.snapshot,
            self.scans.all,
            self.book.scan_port_trouble,
            options["ports-interface"],
        )
        self.scans.ports_changed.append(self.ports.look)

    def _trail(self, program: Program) -> Trail | None:
        if program.options["audit"] is None:
            return None
        audit = open_audit(program.options["audit"], program.options.program)
        AuditWriter(program.reactor, audit).setServiceParent(program)  # type: ignore[no-untyped-call]
        return Trail(program.reactor.seconds, audit.record)

    def shared_front(self, endpoint: str) -> ServerFactory:
        """What serves the Clients of the shared port on ``endpoint``."""
        return ClientFactory(self.front, layered=is_layered(endpoint))

    def _front_for(self, access: Access) -> ServerFactory:
        return ClientFactory(self.front, access)

    def _registry_changed(self, snapshot: Snapshot) -> None:
        self.gate.look()
        self.scans.registry_changed(snapshot)
        self.live.look()
        self.router.look()
        self.ports.look()


def build(program: Program) -> None:
    """Add the Proxy's services to ``program``. Raises ``OperatorError`` for a state folder that can't be used.

    They start in this order and stop in the reverse one: nobody is let in before what he relies on stands.
    """
    options = program.options
    proxy = Proxy(program)
    services: list[Any] = [
        OverdueRefusals(program.reactor, proxy.refusals),
        proxy.watch,
        proxy.book,
        proxy.sweeper,
        proxy.liveness,
        proxy.scans,
        proxy.router,
        proxy.certificate,
        proxy.gate,
        Repeating(program.reactor, limits.RIGHTS_SECONDS, proxy.gate.look),
        proxy.live,
        Listener(program.reactor, options["agents"], proxy.agents),
        Listener(program.reactor, options["clients"], proxy.shared_front(options["clients"])),
        proxy.ports,
    ]
    if options["links"] is not None:
        services.append(Listener(program.reactor, options["links"], proxy.links))
    if options["manhole"] is not None:
        services.append(_manhole(program, proxy))
    for service in services:
        service.setServiceParent(program)


def _session_maker(program: Program) -> Callable[[float], Session]:
    options = program.options
    budget = ProcessBudget(growth=options["process-growth"], unread=options["process-unread"])

    def make(now: float) -> Session:
        return Session(
            client=True,
            now=now,
            accept_streams=False,
            budget=budget,
            max_streams=options["streams"],
            stream_window=options["stream-window"],
        )

    return make


def _manhole(program: Program, proxy: Proxy) -> Any:
    from socksfusion.manhole.service import manhole_service
    from socksfusion.proxy.inspection import Inspection

    inspection = Inspection(program.reactor.seconds, lambda: proxy.watch.snapshot, proxy.connected, proxy.scans)
    return manhole_service(
        program.reactor,
        program.options["manhole"],
        {"agents": inspection.agents, "streams": inspection.streams, "proxy": proxy},
        Path(program.options["authorized-keys"]),
        proxy.state.manhole_host_key,
        "SocksFusion Proxy. At hand: agents(), streams(), proxy",
        proxy.refusals,
    )
