"""tunnel.draining: a reset waits for what came before it, as long as that goes on leaving."""

import math
import socket
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.tunnel.draining import abort_when_drained


class Transport:
    """A connected socket under what draining looks at of Twisted's transports."""

    def __init__(self, clock: Clock) -> None:
        self.reactor = clock
        self.connected = True
        self.offset = 0
        self._tempDataLen = 0
        self.dataBuffer = b""
        self.aborted = False
        self.socket, self._other = socket.socketpair()
        self.fileno = self.socket.fileno

    def abortConnection(self) -> None:
        self.connected = False
        self.aborted = True

    def close(self) -> None:
        self.socket.close()
        self._other.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport(clock: Clock) -> Iterator[Transport]:
    made = Transport(clock)
    yield made
    made.close()


def pump(clock: Clock, seconds: float) -> None:
    clock.pump([0.5] * int(seconds / 0.5))


def test_a_transport_with_nothing_unsent_is_aborted_at_once(clock: Clock, transport: Transport) -> None:
    abort_when_drained(transport)
    assert transport.aborted
    assert not clock.getDelayedCalls()


def test_a_reader_that_goes_on_slowly_gets_all(clock: Clock, transport: Transport) -> None:
    transport.dataBuffer = bytes(10)
    abort_when_drained(transport)
    for size in range(9, 0, -1):
        pump(clock, limits.RESET_DRAIN_SECONDS - 1)
        assert not transport.aborted
        transport.dataBuffer = bytes(size)
    transport.dataBuffer = b""
    pump(clock, 1)
    assert transport.aborted


def test_a_reader_that_takes_nothing_is_given_up(clock: Clock, transport: Transport) -> None:
    transport.dataBuffer = bytes(10)
    abort_when_drained(transport)
    pump(clock, limits.RESET_DRAIN_SECONDS - 1)
    assert not transport.aborted
    pump(clock, 2)
    assert transport.aborted
    assert not clock.getDelayedCalls()


def test_a_reader_may_be_given_any_time(clock: Clock, transport: Transport) -> None:
    transport.dataBuffer = bytes(10)
    abort_when_drained(transport, math.inf)
    pump(clock, 3600)
    assert not transport.aborted
    transport.dataBuffer = b""
    pump(clock, 1)
    assert transport.aborted


def test_a_transport_that_is_lost_meanwhile_is_left_alone(clock: Clock, transport: Transport) -> None:
    transport.dataBuffer = bytes(10)
    abort_when_drained(transport)
    transport.connected = False
    pump(clock, 1)
    assert not transport.aborted
    assert not clock.getDelayedCalls()
