"""Targets: each stream that the Proxy opens asks for one connection, which is judged, dialled, answered and joined.

The way of a stream: connect request → addresses (names are looked up here) → policy → a turn → dial → connect reply →
relay. The policy is asked at every open, whoever opens (attacks.md, row F1). What the stream hears of it is in
``agent/target_stream.py``.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.internet.protocol import Factory

from socksfusion import limits
from socksfusion.agent.datagrams import Associations, Judges
from socksfusion.agent.dial import failure_of
from socksfusion.agent.errors import ConnectFailed, Denied
from socksfusion.agent.messages import Messages
from socksfusion.agent.opens import Open, Opens
from socksfusion.agent.policy import Decision, Policy, literal, narrowing
from socksfusion.agent.rules import plain_name
from socksfusion.agent.target_stream import TargetProtocol, carrier_of
from socksfusion.agent.turns import Turns
from socksfusion.refusals import Refusals
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.requests import AssociateRequest, ConnectRequest


class BadRequest(ConnectFailed):
    """The Proxy narrows the request to what is no network: nothing was tried, since nothing says how far it may go."""

    rule = "connect request"


class Resolves(Interface):
    """:class:`socksfusion.agent.names.Resolver`, or what stands in for it."""

    def resolve(self, name: str, seconds: float) -> Awaitable[list[str]]:
        """Addresses of ``name``."""


class Dials(Interface):
    """:class:`socksfusion.agent.dial.Dialler`, or what stands in for it."""

    def dial(self, addresses: Sequence[str], port: int, seconds: float) -> Awaitable[ITCPTransport]:
        """A connected transport."""


class TargetFactory(Factory):
    """Makes the protocol of each stream that the Proxy opens.

    ``seconds`` is the reactor's monotonic clock. ``join`` takes a connected transport and the stream over for good:
    :func:`socksfusion.tunnel.relay.join`. ``associations`` makes, of who judges addresses, who serves datagrams, in
    turns of the same ``turns``.
    """

    noisy = False

    def __init__(
        self,
        *,
        seconds: Callable[[], float],
        policy: Policy,
        resolver: Resolves,
        dialler: Dials,
        turns: Turns,
        messages: Messages,
        refusals: Refusals,
        join: Callable[[Any, StreamTransport], object],
        associations: Callable[[Judges], Associations],
        opens: Opens | None = None,
    ) -> None:
        self.opens = opens if opens is not None else Opens(seconds)
        self.messages = messages
        self.refusals = refusals
        self.join = join
        self._seconds = seconds
        self._policy = policy
        self._resolver = resolver
        self._dialler = dialler
        self._turns = turns
        self.associations = associations(self.allowed)

    def buildProtocol(self, addr: IAddress | None) -> TargetProtocol:
        """The protocol of one stream."""
        return TargetProtocol(self)

    async def connect(self, request: ConnectRequest, stream: StreamTransport, opened: Open) -> ITCPTransport:
        """A connected transport to what ``request`` names, which was asked for on ``stream``.

        It counts as open until the stream is lost.

        :raises ConnectFailed: none was made.
        """
        peer = carrier_of(stream)
        seconds = min(request.timeout, limits.CONNECT_LARGEST_SECONDS)
        begun = self._seconds()
        addresses = [request.host]
        if literal(request.host) is None:
            addresses = await self._resolver.resolve(request.host, min(seconds, limits.RESOLVER_SECONDS))
        left = seconds - (self._seconds() - begun)
        allowed = self._judge(addresses, request.host, request.port, request, peer)
        waiting = self._turns.take(request.client or request.scan)
        waits = not waiting.called
        turn = await waiting
        try:
            if waits:
                # the machine may have got an address meanwhile, or the admin's rules have changed
                allowed = self._judge(addresses, request.host, request.port, request, peer)
            target = await self._dialler.dial([one.address for one in allowed], request.port, left)
        except BaseException:
            turn.end()
            raise
        turn.dialled()
        stream.when_lost(turn.stream_lost)
        dialled = target.getPeer().host
        opened.dialled(dialled)
        opened.decided(next((one.rule for one in allowed if one.address == dialled), ""))
        return target

    def allowed(
        self, addresses: Sequence[str], host: str, port: int, request: ConnectRequest | AssociateRequest, peer: str
    ) -> list[str]:
        """Those of ``addresses``, which ``host`` means, that ``request`` of ``peer`` may reach at ``port`` now.

        :raises ConnectFailed: there is none.
        """
        return [decision.address for decision in self._judge(addresses, host, port, request, peer)]

    def _judge(
        self, addresses: Sequence[str], host: str, port: int, request: ConnectRequest | AssociateRequest, peer: str
    ) -> list[Decision]:
        name = "" if literal(host) is not None else plain_name(host)
        try:
            narrowed = narrowing(request.allow)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        try:
            decisions = [self._policy.check(address, port, name=name, narrowed=narrowed) for address in addresses]
        except OSError as error:
            raise failure_of(error) from error
        for decision in decisions:
            if not decision.allowed:
                asked = f"{host} port {port}, address {decision.address}"
                self.refusals.refuse(f"policy: {decision.rule}", peer, asked)
        allowed = {decision.address: decision for decision in decisions if decision.allowed}
        if not allowed:
            raise Denied(decisions[0].rule)
        return list(allowed.values())
