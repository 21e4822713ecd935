"""The Proxy put together: the agents' listener, the Clients' listeners, the registry, and what looks after them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.protocol import ServerFactory

from socksfusion.endpoints import Listener
from socksfusion.identity.state import StateFolder
from socksfusion.program import Program
from socksfusion.proxy.agents import AgentsFactory
from socksfusion.proxy.book import Book
from socksfusion.proxy.certificate import ProxyCertificate
from socksfusion.proxy.clients import ClientFactory, SocksFront
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.gate import AgentGate
from socksfusion.proxy.ports import AgentPorts
from socksfusion.proxy.routing import Router
from socksfusion.proxy.scans import Scans
from socksfusion.refusals import OverdueRefusals, Refusals
from socksfusion.registry.schema import Snapshot
from socksfusion.registry.watch import RegistryWatch
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
        self.certificate = ProxyCertificate(reactor, self.state)
        self.refusals = Refusals(reactor.seconds)
        self.watch = RegistryWatch(reactor, self.state.registry_file)
        self.book = Book(reactor, self.watch)
        self.connected = ConnectedAgents()
        self.scans = Scans(reactor, self.book, self.connected, options["scan-idle"])
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
        self.gate = AgentGate(self.book, self.connected, self.liveness, self.refusals, options["heartbeat"])
        self.agents = AgentsFactory(
            reactor,
            self.certificate.context,
            self.gate,
            self.refusals,
            _session_maker(program),
            handshake_seconds=options["handshake"],
            per_address=options["unauthenticated-per-address"],
            total=options["unauthenticated-total"],
        )
        self.certificate.observe(self.agents.use)

    def _serve_clients(self, program: Program) -> None:
        options, reactor = program.options, program.reactor
        self.sweeper = Sweeper(reactor, options["half-closed"])
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
        self.ports = AgentPorts(reactor, self._front_for, lambda: self.watch.snapshot)

    def _front_for(self, agent: str) -> ServerFactory:
        return ClientFactory(self.front, agent)

    def _registry_changed(self, snapshot: Snapshot) -> None:
        self.gate.registry_changed()
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
