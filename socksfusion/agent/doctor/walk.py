"""All steps in their order. What is found is told at once; after the first trouble on a way the rest of it is left."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from socksfusion.agent.dial import Dialler
from socksfusion.agent.doctor.findings import Finding, Trouble
from socksfusion.agent.doctor.here import check_clock, check_copy, check_policy
from socksfusion.agent.doctor.look import look_again
from socksfusion.agent.doctor.target import check_target
from socksfusion.agent.doctor.tunnel import check_peer, check_registration, check_tls
from socksfusion.agent.doctor.visit import AskingVisit
from socksfusion.agent.doctor.way import check_connection, check_name
from socksfusion.agent.names import Resolver
from socksfusion.agent.options import Options
from socksfusion.agent.source import chosen_sources
from socksfusion.agent.ways import Way, chosen_ways
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.tls import agent_context


@dataclass
class Walk:
    """One examination with the Agent's own ``options``; ``tell`` is given each finding."""

    reactor: Any
    options: Options
    copy: AgentCopy
    tell: Callable[[Finding], None]
    register: bool
    """Whether the Proxy is asked about the key."""
    target: tuple[str, int] | None

    async def all(self) -> None:
        """Take every step."""
        self.tell(check_copy(self.copy))
        self._resolver = Resolver(self.reactor, self.reactor.callFromThread)
        try:
            self.tell(check_clock(self.copy))
        except Trouble as trouble:
            # nothing that follows could tell more: TLS goes by the clock
            self.tell(trouble.finding)
            return
        for way in chosen_ways(self.reactor, self.options, self.copy):
            try:
                await self._way(way)
            except Trouble as trouble:
                self.tell(trouble.finding)
        try:
            await self._rules()
        except Trouble as trouble:
            self.tell(trouble.finding)

    async def _way(self, way: Way) -> None:
        seconds = self.options["handshake"]
        self.tell(await check_name(self._resolver, way))
        visit = AskingVisit(self.reactor, way.host, agent_context(self.copy))
        try:
            self.tell(await check_connection(self.reactor, way, visit))
            self.tell(await self._tls(way, visit, seconds))
            for finding in check_peer(visit, way.proxy):
                self.tell(finding)
            if self.register:
                self.tell(await check_registration(self.reactor, visit, self.copy, way.proxy, seconds))
            else:
                self.tell(Finding("registration", "not asked (--no-register)", left_out=True))
        finally:
            visit.leave()

    async def _tls(self, way: Way, visit: AskingVisit, seconds: float) -> Finding:
        try:
            return await check_tls(self.reactor, visit, self.copy, way.proxy, seconds)
        except Trouble as trouble:
            seen = await look_again(self.reactor, way, seconds) if trouble.finding.step == "tls" else None
            raise seen or trouble

    async def _rules(self) -> None:
        finding, policy = check_policy(self.options, self.copy)
        self.tell(finding)
        if self.target is None:
            self.tell(Finding("target", "none was given (--target HOST:PORT)", left_out=True))
            return
        dialler = Dialler(self.reactor, sources=chosen_sources(self.options["source"]))
        host, port = self.target
        self.tell(await check_target(self._resolver, dialler, policy, host, port, self.options["handshake"]))
