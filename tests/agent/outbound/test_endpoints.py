"""agent.outbound.http and .socks: one connect over one connection or several, and what it fails with."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, execute
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from socksfusion.agent.outbound.errors import OutboundFailed, OutboundLoginFailed
from socksfusion.agent.outbound.http import HttpProxyEndpoint
from socksfusion.agent.outbound.settings import OutboundProxy
from socksfusion.agent.outbound.socks import socks_endpoint
from tests.test_negotiation import Transport

BASIC = b'HTTP/1.1 407 Who\r\nConnection: close\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
BASIC_KEPT = b'HTTP/1.1 407 Who\r\nContent-Length: 4\r\nProxy-Authenticate: Basic realm="x"\r\n\r\npage'
OPENED = b"HTTP/1.0 200 OK\r\nVia: somebody\r\n\r\n"
SECRET = "hush"


class Dial:
    """One connect through an outbound proxy that the test plays."""

    def __init__(
        self, kind: str = "http", user: str | None = "alice", password: str | None = SECRET, in_thread: Any = execute
    ) -> None:
        self.reactor = MemoryReactorClock()
        proxy = OutboundProxy(kind, "192.0.2.1", 3128, user, password)  # type: ignore[arg-type]
        make: Any = partial(HttpProxyEndpoint, in_thread=in_thread) if kind == "http" else socks_endpoint
        there = TCP4ClientEndpoint(self.reactor, proxy.host, proxy.port)
        self.result: list[Any] = []
        self.inner = Protocol()
        self.connecting = make(self.reactor, there, proxy, "proxy.example", 443, 10.0).connect(
            Factory.forProtocol(lambda: self.inner)
        )
        self.connecting.addBoth(self.result.append)

    @property
    def connections(self) -> int:
        return len(self.reactor.tcpClients)

    def accept(self) -> Transport:
        self.transport = Transport()
        self.protocol = self.reactor.tcpClients[-1][2].buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        return self.transport

    def answer(self, *answers: bytes) -> bytes:
        """What was sent after the answers."""
        for answer in answers:
            self.transport.clear()
            self.protocol.dataReceived(answer)
        return self.transport.value()

    @property
    def error(self) -> Any:
        (failure,) = self.result
        assert SECRET not in failure.getTraceback(detail="verbose")
        return failure.value


def test_no_login_is_shown_to_a_proxy_that_wants_none() -> None:
    dial = Dial()
    assert dial.accept().value().startswith(b"CONNECT proxy.example:443 HTTP/1.1\r\n")
    assert b"Authorization" not in dial.transport.value()
    dial.answer(OPENED)
    assert dial.result == [dial.inner]
    assert dial.connections == 1


def test_the_next_step_goes_on_the_same_connection_where_it_stays() -> None:
    dial = Dial()
    dial.accept()
    assert b"\r\nProxy-Authorization: Basic YWxpY2U6aHVzaA==\r\n" in dial.answer(BASIC_KEPT)
    dial.answer(OPENED)
    assert dial.result == [dial.inner]
    assert dial.connections == 1


@pytest.mark.parametrize("how", ["at once", "after the page", "by the end alone"])
def test_the_next_step_goes_on_a_new_connection_where_the_proxy_closes(how: str) -> None:
    dial = Dial()
    first = dial.accept()
    if how == "at once":
        dial.answer(BASIC)
    elif how == "after the page":
        dial.answer(BASIC, b"page")
    else:
        dial.answer(b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\npage")
        assert dial.connections == 1
    dial.protocol.connectionLost(Failure(error.ConnectionDone()))
    assert first.aborted
    assert dial.connections == 2
    assert b"\r\nProxy-Authorization: Basic YWxpY2U6aHVzaA==\r\n" in dial.accept().value()
    dial.answer(OPENED)
    assert dial.result == [dial.inner]


@pytest.mark.parametrize("answer", [BASIC, BASIC_KEPT])
def test_a_wrong_password_is_tried_once(answer: bytes) -> None:
    dial = Dial()
    dial.accept()
    dial.answer(answer)
    if dial.connections == 2:
        dial.accept()
    dial.answer(answer)
    assert isinstance(dial.error, OutboundLoginFailed)
    assert dial.connections <= 2
    assert not dial.reactor.getDelayedCalls()


@pytest.mark.parametrize("closes", [False, True])
def test_a_proxy_that_asks_for_ever(closes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login whose steps never end, of whatever kind."""
    monkeypatch.setattr("socksfusion.agent.outbound.authentication.Login.answer", lambda *_, **__: "Endless x")
    dial = Dial()
    dial.accept()
    answered = 0
    while not dial.result:
        connections = dial.connections
        dial.answer(BASIC if closes else BASIC_KEPT)
        answered += 1
        if dial.connections > connections:
            dial.accept()
    assert "again and again" in str(dial.error)
    assert answered == 6
    assert not dial.reactor.getDelayedCalls()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "does not connect to proxy.example:443: 403 Forbidden; ask who runs it"),
        (b"HTTP/1.1 503 \x1b[31m\r\n\r\n", "503 \\x1b[31m; it can't reach that address"),
        (b"HTTP/1.1 504 Gateway Timeout\r\n\r\n", "504 Gateway Timeout; it can't reach that address"),
        (b"HTTP/1.1 400\r\n\r\n", "proxy.example:443: 400"),
        (b"SSH-2.0-x\r\n\r\n", "no HTTP proxy"),
    ],
)
def test_refusals_say_what_to_do(answer: bytes, words: str) -> None:
    dial = Dial()
    dial.accept()
    dial.answer(answer)
    assert type(dial.error) is OutboundFailed
    assert words in str(dial.error)
    assert "http://192.0.2.1:3128" in str(dial.error)
    assert str(dial.error).isprintable()


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_one_that_hangs_up_or_is_silent(kind: str) -> None:
    dial = Dial(kind)
    dial.accept()
    dial.protocol.connectionLost(Failure(error.ConnectionDone()))
    assert "closed the connection without an answer" in str(dial.error)
    dial = Dial(kind)
    dial.accept()
    dial.reactor.advance(10)
    assert "within 10 s" in str(dial.error)


class Ticket:
    """A library that takes its time for a login, in a thread that the test plays."""

    def __init__(self) -> None:
        self.comes: list[tuple[Deferred[str], Callable[[], str]]] = []

    def in_thread(self, work: Callable[[], str]) -> "Deferred[str]":
        self.comes.append((Deferred(), work))
        return self.comes[-1][0]

    def come(self) -> None:
        done, work = self.comes.pop()
        done.callback(work())


@pytest.mark.parametrize("answer", [BASIC, BASIC_KEPT], ids=["anew", "kept"])
def test_a_login_that_takes_its_time_stops_nothing_but_its_connection(answer: bytes) -> None:
    ticket = Ticket()
    dial = Dial(in_thread=ticket.in_thread)
    dial.accept()
    assert dial.answer(answer) == b""
    assert dial.connections == 1
    if answer == BASIC_KEPT:
        assert dial.transport.producerState == "paused"
    ticket.come()
    if answer == BASIC:
        dial.accept()
    assert b"Proxy-Authorization: Basic" in dial.transport.value()
    assert dial.transport.producerState == "producing"
    dial.answer(OPENED)
    assert dial.result == [dial.inner]


@pytest.mark.parametrize("end", ["cancelled", "too slow", "hung up"])
def test_a_login_that_comes_too_late_is_shown_to_nobody(end: str) -> None:
    ticket = Ticket()
    dial = Dial(in_thread=ticket.in_thread)
    dial.accept()
    dial.answer(BASIC_KEPT)
    if end == "cancelled":
        dial.connecting.cancel()
    elif end == "too slow":
        dial.reactor.advance(10)
    else:
        dial.protocol.connectionLost(Failure(error.ConnectionDone()))
    assert isinstance(dial.error, CancelledError if end == "cancelled" else OutboundFailed)
    dial.transport.clear()
    ticket.come()
    assert dial.transport.value() == b""
    assert dial.connections == 1
    assert not dial.reactor.getDelayedCalls()


def test_cancelled_on_the_second_connection() -> None:
    dial = Dial()
    dial.accept()
    dial.answer(BASIC)
    second = dial.accept()
    dial.connecting.cancel()
    assert isinstance(dial.error, CancelledError)
    assert second.aborted
    assert not dial.reactor.getDelayedCalls()


def test_socks_shows_its_login_to_who_wants_it_alone() -> None:
    dial = Dial("socks5")
    assert dial.accept().value() == b"\x05\x02\x00\x02"
    assert dial.answer(b"\x05\x02") == b"\x01\x05alice\x04hush"
    assert dial.answer(b"\x01\x00") == b"\x05\x01\x00\x03\x0dproxy.example\x01\xbb"
    dial.answer(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    assert dial.result == [dial.inner]
    dial = Dial("socks5")
    dial.accept()
    assert dial.answer(b"\x05\x00") == b"\x05\x01\x00\x03\x0dproxy.example\x01\xbb"


@pytest.mark.parametrize(
    ("answers", "kind", "words"),
    [
        ([b"\x05\x02", b"\x01\x01"], OutboundLoginFailed, "the login is wrong"),
        ([b"\x05\xff"], OutboundLoginFailed, "no login of this kind"),
        ([b"\x05\x00", b"\x05\x02"], OutboundFailed, "its rules forbid it"),
        ([b"\x05\x00", b"\x05\x05"], OutboundFailed, "connection refused"),
        ([b"\x05\x00", b"\x05\xfa"], OutboundFailed, "it failed (reply 0xfa)"),
        ([b"HTTP/1.1 400 Bad\r\n"], OutboundFailed, "no SOCKS5 server"),
    ],
)
def test_refusals_of_socks(answers: list[bytes], kind: type[Exception], words: str) -> None:
    dial = Dial("socks5")
    dial.accept()
    dial.answer(*answers)
    assert type(dial.error) is kind
    assert words in str(dial.error)
