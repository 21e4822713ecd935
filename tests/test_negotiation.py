"""negotiation: a conversation first, then the connection is the caller's protocol's, as if nothing had been before."""

from typing import Any

import pytest
from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion.negotiation import NegotiatedEndpoint

ADDRESS = HostnameAddress(b"target.example", 80)


class Password:
    """A conversation: says ``?``, agrees on ``yes``, fails on ``no``."""

    def __init__(self) -> None:
        self.out = b"?"
        self.received = b""

    @property
    def rest(self) -> bytes:
        return self.received[3:]

    def data_to_send(self) -> bytes:
        out, self.out = self.out, b""
        return out

    def receive_data(self, data: bytes) -> bool:
        self.received += data
        if self.received.startswith(b"no"):
            self.out = b"bye"
            raise PermissionError("no")
        if self.received[:3] == b"yes":
            self.out = b"!"
            return True
        return False

    def ended(self, why: Failure) -> Exception:
        return EOFError(why.getErrorMessage())

    def too_slow(self, seconds: float) -> Exception:
        return TimeoutError(f"{seconds:g}")


class Recorder(Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.lost: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason.type)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    halves = ""

    def readConnectionLost(self) -> None:
        self.halves += "r"

    def writeConnectionLost(self) -> None:
        self.halves += "w"


class Transport(StringTransport):
    aborted = 0

    def abortConnection(self) -> None:
        self.aborted += 1


class Dial:
    """One connect, with what came of it."""

    def __init__(self, protocol: type[Recorder] | None = Recorder) -> None:
        self.reactor = MemoryReactorClock()
        self.addresses: list[Any] = []
        self.inner = None if protocol is None else protocol()
        endpoint = TCP4ClientEndpoint(self.reactor, "192.0.2.1", 1080)
        self.result: list[Any] = []
        connecting = NegotiatedEndpoint(self.reactor, endpoint, ADDRESS, Password, 30.0).connect(_Factory(self))
        self.connecting: Deferred[Any] = connecting
        connecting.addBoth(self.result.append)

    def accept(self) -> Transport:
        self.transport = Transport()
        self.protocol = self.reactor.tcpClients[0][2].buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        return self.transport

    def serve(self, rest: bytes = b"") -> Transport:
        transport = self.accept()
        self.protocol.dataReceived(b"yes" + rest)
        return transport

    @property
    def failure(self) -> Any:
        (failure,) = self.result
        return failure.value


class _Factory(Factory):
    def __init__(self, dial: Dial) -> None:
        self.dial = dial

    def buildProtocol(self, addr: Any) -> Any:
        self.dial.addresses.append(addr)
        return self.dial.inner


def test_once_agreed_the_protocol_has_the_connection_and_what_came_behind() -> None:
    dial = Dial()
    transport = dial.accept()
    assert transport.value() == b"?"
    dial.protocol.dataReceived(b"ye")
    assert dial.result == []
    dial.protocol.dataReceived(b"s220 ")
    assert transport.value() == b"?!"
    assert dial.result == [dial.inner]
    assert dial.addresses == [ADDRESS]
    dial.protocol.dataReceived(b"ready")
    assert dial.inner is not None
    assert dial.inner.transport is transport
    assert dial.inner.data == b"220 ready"
    dial.protocol.connectionLost(Failure(ConnectionLost()))
    assert dial.inner.lost == [ConnectionLost]
    assert not dial.reactor.getDelayedCalls()


def test_what_the_conversation_raises_is_the_failure() -> None:
    dial = Dial()
    transport = dial.accept()
    dial.protocol.dataReceived(b"no")
    assert isinstance(dial.failure, PermissionError)
    assert transport.value() == b"?bye"
    assert transport.aborted == 1
    dial.protocol.dataReceived(b"more")
    dial.protocol.connectionLost(Failure(ConnectionDone()))
    assert dial.addresses == []
    assert not dial.reactor.getDelayedCalls()


@pytest.mark.parametrize("half", [False, True])
def test_an_early_end(half: bool) -> None:
    dial = Dial()
    dial.accept()
    if half:
        dial.protocol.readConnectionLost()
    dial.protocol.connectionLost(Failure(ConnectionDone()))
    assert isinstance(dial.failure, EOFError)
    assert not dial.reactor.getDelayedCalls()


def test_an_end_at_once() -> None:
    """Before the endpoint has told that it is connected."""
    dial = Dial()
    dial.protocol = dial.reactor.tcpClients[0][2].buildProtocol(None)
    inner = dial.protocol._wrappedProtocol
    inner.makeConnection(Transport())
    inner.connectionLost(Failure(ConnectionDone()))
    dial.protocol._connectedDeferred.callback(inner)
    assert isinstance(dial.failure, EOFError)
    assert not dial.reactor.getDelayedCalls()


def test_the_limit_counts_from_the_connection_on() -> None:
    dial = Dial()
    dial.reactor.advance(20)
    transport = dial.accept()
    dial.reactor.advance(29.9)
    assert dial.result == []
    dial.reactor.advance(0.2)
    assert isinstance(dial.failure, TimeoutError)
    assert transport.aborted == 1


def test_no_limit_once_agreed() -> None:
    dial = Dial()
    transport = dial.serve()
    dial.reactor.advance(100)
    assert transport.aborted == 0


def test_cancelled_while_it_dials() -> None:
    dial = Dial()
    dial.connecting.cancel()
    assert isinstance(dial.failure, Exception)
    assert dial.reactor.connectors[0].stoppedConnecting


def test_cancelled_while_it_talks() -> None:
    dial = Dial()
    transport = dial.accept()
    dial.connecting.cancel()
    assert isinstance(dial.failure, CancelledError)
    assert transport.aborted == 1
    dial.protocol.dataReceived(b"yes")
    dial.protocol.connectionLost(Failure(ConnectionDone()))
    assert dial.addresses == []
    assert not dial.reactor.getDelayedCalls()


def test_a_factory_that_wants_no_protocol() -> None:
    dial = Dial(protocol=None)
    transport = dial.serve()
    assert "no protocol" in str(dial.failure)
    assert transport.aborted == 1


def test_half_closes_reach_who_knows_them() -> None:
    dial = Dial(HalfCloseable)
    transport = dial.serve()
    dial.protocol.readConnectionLost()
    dial.protocol.writeConnectionLost()
    assert isinstance(dial.inner, HalfCloseable)
    assert dial.inner.halves == "rw"
    assert not transport.disconnecting


def test_a_half_close_ends_the_connection_of_who_does_not() -> None:
    dial = Dial()
    transport = dial.serve()
    dial.protocol.readConnectionLost()
    assert transport.disconnecting
