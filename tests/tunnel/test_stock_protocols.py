"""Protocols of Twisted's own run over a stream as they are."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.protocols import amp, basic
from twisted.web import client, http_headers, resource, server
from zope.interface import implementer

from tests.tunnel.pair import Pair, Recorder


class Echo(basic.LineReceiver):
    transport: Any

    def lineReceived(self, line: bytes) -> None:
        if line == b"bye":
            self.transport.loseConnection()
        else:
            self.sendLine(line)  # type: ignore[no-untyped-call]


def test_line_receiver_echoes_and_leaves() -> None:
    pair = Pair(protocol=Echo, piece=7)
    here, _ = pair.open(Recorder())
    for line in (b"one\r\n", b"tw", b"o\r\nthree\r\nbye\r\nignored\r\n"):
        here.transport.write(line)
        pair.pump()
    assert here.data == b"one\r\ntwo\r\nthree\r\n"
    assert here.lost is not None


def test_line_receiver_that_pauses_gets_its_lines_in_order() -> None:
    class Slow(Echo):
        def lineReceived(self, line: bytes) -> None:
            super().lineReceived(line)
            self.pauseProducing()  # type: ignore[no-untyped-call]
            self.transport._carrier.reactor.callLater(1, self.resumeProducing)

    pair = Pair(protocol=Slow)
    here, _ = pair.open(Recorder())
    lines = [b"line %d" % number for number in range(20)]
    here.transport.write(b"\r\n".join(lines) + b"\r\n")
    pair.pass_time(25, step=0.5)
    assert here.data.split(b"\r\n")[:-1] == lines


class Sum(amp.Command):
    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"total", amp.Integer())]


class Calculator(amp.AMP):
    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        return {"total": a + b}


def test_amp_asks_and_is_answered() -> None:
    pair = Pair(protocol=Calculator, piece=5)
    here, _ = pair.open(amp.AMP())
    answers: list[Any] = []
    for number in range(10):
        here.callRemote(Sum, a=number, b=1).addBoth(answers.append)
    pair.pump()
    assert [answer["total"] for answer in answers] == list(range(1, 11))


class Page(resource.Resource):
    isLeaf = True

    def __init__(self, size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._size = size

    def render_GET(self, request: Any) -> bytes:
        return b"x" * self._size

    def render_POST(self, request: Any) -> bytes:
        return bytes(request.content.read())[::-1]


@implementer(IStreamClientEndpoint)
class StreamEndpoint:
    """A stream of a pair to dial."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def connect(self, factory: Any) -> Deferred[Any]:
        protocol = factory.buildProtocol(None)
        connected: Deferred[Any] = Deferred()
        self._pair.start(protocol)
        connected.callback(protocol)
        return connected


def web_pair(size: int) -> Pair:
    site = server.Site(Page(size), reactor=None)
    pair = Pair(protocol=lambda: site.buildProtocol(None))
    site._reactor = pair.clock  # type: ignore[attr-defined]
    return pair


@pytest.mark.filterwarnings("ignore:Using readBody")  # its own proxy of the transport has no abortConnection
def test_web_client_and_server() -> None:
    pair = web_pair(300_000)
    agent = client.ProxyAgent(StreamEndpoint(pair), pair.clock)
    bodies: list[Any] = []
    agent.request(b"GET", b"http://page/", http_headers.Headers({})).addCallback(client.readBody).addBoth(bodies.append)
    pair.pump()
    assert bodies == [b"x" * 300_000]


def test_web_server_lets_go_of_a_client_that_ends() -> None:
    """Its channel is its own streaming producer for as long as the connection lasts."""
    pair = web_pair(10)
    here, _ = pair.open(Recorder())
    here.transport.write(b"GET / HTTP/1.1\r\nHost: page\r\n\r\n")
    pair.pump()
    assert here.data.startswith(b"HTTP/1.1 200 OK")
    here.transport.loseConnection()
    pair.pump()
    assert here.lost is not None
    assert len(pair.agent.session.streams) == 0


def test_connect_protocol_over_a_stream_endpoint() -> None:
    pair = Pair()
    connected: list[Any] = []
    connectProtocol(StreamEndpoint(pair), Protocol()).addCallback(connected.append)
    pair.pump()
    connected[0].transport.write(b"dialled")
    pair.pump()
    assert pair.agent_owner.protocols[0].data == b"dialled"
