"""What an open costs in both programs together, from the Client's greeting to the end of its stream, by counts.

The bounds are what was counted when they were written, and a tenth above, as in tests/tunnel/test_hot_path.py. Sockets
and TLS aside, everything is the programs' own; the pipes in memory that stand for sockets are counted too.
"""

import gc
import sys
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IDelayedCall, IProtocol
from twisted.internet.task import Clock

from socksfusion.agent.datagrams import Associations
from socksfusion.agent.dial import Dialler
from socksfusion.agent.messages import Messages
from socksfusion.agent.policy import Policy
from socksfusion.agent.targets import TargetFactory
from socksfusion.agent.turns import Turns
from socksfusion.proxy.clients import ClientFactory
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.front import Front
from socksfusion.proxy.guessing import Guessing
from socksfusion.proxy.live import LiveStreams
from socksfusion.proxy.routing import Router
from socksfusion.proxy.scans import Scans
from socksfusion.tunnel.relay import join
from tests.agent.fake_agent import FakeResolver
from tests.proxy.accounts import Registered
from tests.proxy.gatehouse import FakeBook
from tests.tunnel.pair import Pair
from tests.tunnel.pipe import End, pipe, pump
from tests.tunnel.test_hot_path import Silent, python_calls

GREETING = b"\x05\x01\x00"
REQUEST = b"\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x50"
OPENS = 50
IDLE_STREAMS = 200

# counted under Python 3.11; later versions call less
PYTHON_CALLS_AN_OPEN = 2000
GARBAGE_OF_AN_OPEN = 50
"""Objects in cycles, those of the pipes included. What led to the stream is not among them."""
BLOCKS_OF_AN_IDLE_STREAM = 115
BYTES_OF_AN_IDLE_STREAM = 8500
"""Of Python's memory, in both programs and with all four ends of their pipes, which are smaller than sockets."""


class Far(Silent):
    """A Client or a Target."""

    def writeConnectionLost(self) -> None:
        pass


class Network:
    """What the Agent dials: every attempt connects in the next turn."""

    def __init__(self, clock: Clock, ends: list[End]) -> None:
        self.clock = clock
        self.targets: list[Far] = []
        self._ends = ends

    def seconds(self) -> float:
        return float(self.clock.seconds())

    def callLater(self, *arguments: Any, **more: Any) -> IDelayedCall:
        call: IDelayedCall = self.clock.callLater(*arguments, **more)
        return call

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        near, far = pipe(self.clock, client="192.0.2.9")
        target = Far()
        far.protocol = target
        target.makeConnection(far)  # type: ignore[no-untyped-call]
        self.targets.append(target)

        def connected() -> None:
            near.protocol = factory.buildProtocol(near.getPeer())
            near.protocol.makeConnection(near)
            self._ends += near, far

        attempt = self.clock.callLater(0, connected)
        return SimpleNamespace(stopConnecting=attempt.cancel)


class Programs:
    """A Proxy and an Agent, their Clients and Targets."""

    def __init__(self) -> None:
        self.pair = Pair(protocol=self._target)
        self.clock = self.pair.clock
        self.ends = [self.pair.proxy_end, self.pair.agent_end]
        self._agent()
        self._proxy()
        self.open_and_close()

    def _agent(self) -> None:
        refusals, clock = self.pair.refusals, self.clock
        turns = Turns(clock)
        resolver = FakeResolver()
        self.network = Network(clock, self.ends)
        self.targets = TargetFactory(
            seconds=clock.seconds,
            policy=Policy(owns=lambda _: False),
            resolver=resolver,
            dialler=Dialler(self.network),
            turns=turns,
            messages=Messages(lambda line: None),
            refusals=refusals,
            join=join,
            associations=lambda judge: Associations(clock, judge, resolver, refusals, turns),
        )

    def _target(self) -> IProtocol:
        return self.targets.buildProtocol(None)

    def _proxy(self) -> None:
        pair, clock = self.pair, self.clock
        registered, book, connected = Registered("acme"), FakeBook(), ConnectedAgents()
        accounts = registered.accounts()
        scans = Scans(clock, book, connected, wall=lambda: 5000.0)
        router = Router(clock, accounts, connected, scans, LiveStreams(clock, accounts), pair.refusals)
        front = Front(clock, router, accounts, Guessing(clock, pair.refusals), pair.refusals, join)
        self.clients = ClientFactory(front)
        visit: Any = SimpleNamespace(
            agent="acme",
            carrier=pair.proxy,
            hello=SimpleNamespace(features=[]),
            control=SimpleNamespace(send=lambda message: None),
        )
        connected.add(visit)

    def pump(self) -> None:
        pump(self.clock, *self.ends)

    def open(self) -> tuple[Far, Far]:
        """A Client's connection to a Target; both far ends."""
        far, near = pipe(self.clock)
        client = Far()
        far.protocol = client
        client.makeConnection(far)  # type: ignore[no-untyped-call]
        near.protocol = self.clients.buildProtocol(IPv4Address("TCP", "198.51.100.7", 40_000))
        near.protocol.makeConnection(near)
        self.ends += far, near
        for data in (GREETING, REQUEST):
            far.write(data)
            self.pump()
        assert client.bytes == 12, "it was not opened"
        return client, self.network.targets.pop()

    def open_and_close(self) -> None:
        """100 bytes there and back, FIN both ways."""
        client, target = self.open()
        client.transport.write(b"x" * 100)
        self.pump()
        target.transport.write(b"y" * 100)
        self.pump()
        client.transport.loseWriteConnection()
        self.pump()
        target.transport.loseWriteConnection()
        self.pump()
        assert (target.bytes, client.bytes) == (100, 112)
        del self.ends[2:]
        self.pair.agent_owner.protocols.clear()


def test_python_calls_of_an_open() -> None:
    programs = Programs()

    def opens() -> None:
        for _ in range(OPENS):
            programs.open_and_close()

    assert python_calls(opens) <= PYTHON_CALLS_AN_OPEN * OPENS


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Cycles stay until they are asked for."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
def test_an_open_leaves_little_for_the_garbage_collector() -> None:
    programs = Programs()
    gc.collect()
    for _ in range(OPENS):
        programs.open_and_close()
    assert gc.collect() <= GARBAGE_OF_AN_OPEN * OPENS


def test_an_open_leaves_nothing_allocated() -> None:
    programs = Programs()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(OPENS):
        programs.open_and_close()
    gc.collect()
    assert sys.getallocatedblocks() - before < OPENS


def test_an_idle_stream_is_small() -> None:
    """Each as a Client and a Target have it: the request's way is in it as far as anything is left of it."""
    programs = Programs()
    for _ in range(IDLE_STREAMS):
        programs.open()
    gc.collect()
    blocks = sys.getallocatedblocks()
    tracemalloc.start()
    try:
        for _ in range(IDLE_STREAMS):
            programs.open()
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sys.getallocatedblocks() - blocks <= BLOCKS_OF_AN_IDLE_STREAM * IDLE_STREAMS
    assert size <= BYTES_OF_AN_IDLE_STREAM * IDLE_STREAMS
