"""A target factory over a network, a resolver and a relay of the test's."""

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from socksfusion.agent.datagrams import Associations
from socksfusion.agent.dial import Dialler
from socksfusion.agent.messages import Messages
from socksfusion.agent.names import NameNotFound
from socksfusion.agent.policy import Policy
from socksfusion.agent.source import Sources
from socksfusion.agent.targets import TargetFactory
from socksfusion.agent.turns import Turns
from socksfusion.refusals import Refusals
from socksfusion.tunnel.bandwidth import Bandwidth
from socksfusion.wire.messages import encode
from socksfusion.wire.requests import ConnectRequest
from tests.agent.fake_network import FakeNetwork
from tests.agent.fake_stream import FakeStream
from tests.agent.fake_udp import FakeUDP


@implementer(IHalfCloseableProtocol)
class Joined(Protocol):
    """The relay's protocol on the stream, which records."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        assert not self.ended, "data after FIN"
        self.data += data

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass


class FakeResolver:
    """Answers from ``answers``, and from ``pending`` where the test wants to be asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        self.answers: dict[str, list[str]] = {}
        self.pending: Deferred[list[str]] | None = None

    def resolve(self, name: str, seconds: float) -> "Deferred[list[str]]":
        self.asked.append((name, seconds))
        if self.pending is not None:
            return self.pending
        if name in self.answers:
            return succeed(self.answers[name])
        return fail(NameNotFound("name not resolved"))


class Agent(FakeNetwork):
    """A target factory over a fake network, resolver and relay."""

    def __init__(
        self,
        *,
        policy: Policy | None = None,
        at_once: int = 1000,
        streams: int = 1000,
        bytes_per_second: float | None = None,
    ) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.resolver = FakeResolver()
        self.refusals = Refusals(self.reactor.seconds)
        self.turns = Turns(self.reactor, at_once=at_once, streams=streams)
        self.joined: list[tuple[Any, FakeStream]] = []
        self.join_fails = False
        self.has_source = True
        self.udp = FakeUDP()
        bandwidth = Bandwidth(self.reactor, bytes_per_second) if bytes_per_second is not None else None
        self.factory = TargetFactory(
            seconds=self.reactor.seconds,
            policy=policy or Policy(owns=lambda _: False),
            resolver=self.resolver,
            dialler=Dialler(self.reactor, prepare=lambda _: None),
            turns=self.turns,
            messages=Messages(self.lines.append),
            refusals=self.refusals,
            join=self.join,
            associations=lambda judge: Associations(
                self.reactor,
                judge,
                self.resolver,
                self.refusals,
                self.turns,
                Sources(six="2001:db8::9", owns=lambda _: self.has_source),
                bandwidth,
                self.udp.connect,
            ),
        )

    def join(self, target: Any, stream: Any) -> None:
        if self.join_fails:
            raise ZeroDivisionError
        stream.protocol = Joined()
        self.joined.append((target, stream))

    def stream(self) -> FakeStream:
        stream = FakeStream()
        stream.protocol = self.factory.buildProtocol(None)
        stream.protocol.makeConnection(stream)
        return stream

    def ask(
        self, host: str = "192.0.2.1", port: int = 80, timeout: float = 10, after: bytes = b"", **more: Any
    ) -> FakeStream:
        stream = self.stream()
        stream.protocol.dataReceived(encode(ConnectRequest(host=host, port=port, timeout=timeout, **more)) + after)
        return stream

    def unreachable(self) -> list[str]:
        return [line.split(" ", 1)[1] for line in self.lines]


def lose(stream: FakeStream) -> None:
    stream.protocol.connectionLost(connectionDone)
    for watcher in stream.watchers:
        watcher(stream, connectionDone)
