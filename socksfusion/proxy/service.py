"""The Proxy put together: the agents' listener, the Clients' listeners, the registry, and what looks after them."""

import time
from functools import partial
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.application.internet import TimerService
from twisted.internet.protocol import ServerFactory

from socksfusion.endpoints import Listener
from socksfusion.errors import OperatorError
from socksfusion.identity.state import StateFolder
from socksfusion.identity.tls import proxy_context
from socksfusion.log import make_logger
from socksfusion.program import Program
from socksfusion.proxy.agents import AgentsFactory
from socksfusion.proxy.book import Book
from socksfusion.proxy.clients import ClientFactory, SocksFront
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.gate import AgentGate
from socksfusion.proxy.ports import AgentPorts
from socksfusion.proxy.routing import Router
from socksfusion.proxy.scans import Scans
from socksfusion.refusals import Refusals
from socksfusion.registry.schema import Snapshot
from socksfusion.registry.watch import RegistryWatch
from socksfusion.tunnel.liveness import Liveness
from socksfusion.tunnel.relay import join
from socksfusion.tunnel.sweeper import Sweeper
from socksfusion.wire.yamux.session import Session
from socksfusion.wire.yamux.windows import ProcessBudget

_log = make_logger()

_CERTIFICATE_LOOK_SECONDS = 3600.0


class Proxy:
    """Every part of a running Proxy by name; the manhole's ``proxy``.

    Made by :func:`build`; the attributes that are services are children of the program.
    """

    def __init__(self, program: Program) -> None:
        options, reactor = program.options, program.reactor
        self.state = StateFolder(Path(options["state"])).open()
        self.state.renew_proxy_certificate_if_due(time.time())
        self.refusals = Refusals(reactor.seconds)
        self.watch = RegistryWatch(reactor, self.state.registry_file)
        self.book = Book(reactor, self.watch)
        self.connected = ConnectedAgents()
        self.liveness = Liveness(
            reactor,
            ping_seconds=options["ping"],
            pings_missed=options["pings-missed"],
            heartbeat_seconds=options["heartbeat"],
        )
        self.sweeper = Sweeper(reactor, options["half-closed"])
        self.gate = AgentGate(self.book, self.connected, self.liveness, self.refusals, options["heartbeat"])
        self.scans = Scans(reactor, self.book, self.connected, options["scan-idle"])
        self.router = Router(
            reactor,
            lambda: self.watch.snapshot,
            self.connected,
            self.scans,
            self.refusals,
            connect_seconds=options["connect-timeout"],
            hold_seconds=options["hold"],
        )
        self.front = SocksFront(
            reactor,
            self.router,
            self.refusals,
            partial(join, sweeper=self.sweeper),
            negotiation_seconds=options["negotiation"],
        )
        self.agents = AgentsFactory(
            reactor,
            self._context(),
            self.gate,
            self.refusals,
            partial(
                _new_session, program, ProcessBudget(growth=options["process-growth"], unread=options["process-unread"])
            ),
            handshake_seconds=options["handshake"],
            per_address=options["unauthenticated-per-address"],
            total=options["unauthenticated-total"],
        )
        self.ports = AgentPorts(reactor, self._front_for, lambda: self.watch.snapshot)
        self.certificate = TimerService(_CERTIFICATE_LOOK_SECONDS, self.look_at_certificate)
        self.certificate.clock = reactor
        self._proxy_pem = self.state.proxy_pem()
        self.watch.observe(self._registry_changed)

    def look_at_certificate(self) -> None:
        """Renew the Proxy's certificate where it is due, and take up one that ``socksfusion init --name`` made."""
        try:
            self.state.renew_proxy_certificate_if_due(time.time())
            pem = self.state.proxy_pem()
            if pem != self._proxy_pem:
                self.agents.context = self._context()
                self._proxy_pem = pem
                _log.info("a new certificate of the Proxy is in use")
        except OperatorError as error:
            _log.error("the Proxy's certificate was left as it is: {why}", why=str(error))

    def _context(self) -> SSL.Context:
        return proxy_context(self.state.ca_pem(), self.state.proxy_pem(), self.state.proxy_key_pem())

    def _front_for(self, agent: str) -> ServerFactory:
        return ClientFactory(self.front, agent)

    def _registry_changed(self, snapshot: Snapshot) -> None:
        self.gate.registry_changed()
        self.ports.look()


def build(program: Program) -> None:
    """Add the Proxy's services to ``program``. Raises ``OperatorError`` for a state folder that can't be used."""
    options = program.options
    proxy = Proxy(program)
    services: list[Any] = [
        proxy.watch,
        proxy.book,
        proxy.sweeper,
        proxy.liveness,
        proxy.scans,
        proxy.certificate,
        proxy.gate,
        Listener(program.reactor, options["agents"], proxy.agents),
        Listener(program.reactor, options["clients"], ClientFactory(proxy.front)),
        proxy.ports,
    ]
    if options["manhole"] is not None:
        services.append(_manhole(program, proxy))
    for service in services:
        service.setServiceParent(program)


def _new_session(program: Program, budget: ProcessBudget, now: float) -> Session:
    options = program.options
    return Session(
        client=True,
        now=now,
        accept_streams=False,
        budget=budget,
        max_streams=options["streams"],
        stream_window=options["stream-window"],
    )


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
    )
