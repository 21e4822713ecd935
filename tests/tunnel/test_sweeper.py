"""tunnel.sweeper: whom it gives up, and whom it leaves alone."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.tunnel.sweeper import Sweeper


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pump(clock: Clock, seconds: float) -> None:
    clock.pump([0.5] * int(seconds / 0.5))


class Transport:
    """A connected socket that nobody watches."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.connected = True
        self.dataBuffer = b""
        self.offset = 0
        self._tempDataLen = 0
        self.fileno = near.fileno
        self._near, self._far = near, far

    def ends_both_ways(self) -> None:
        self._near.shutdown(socket.SHUT_WR)
        self._far.sendall(b"to be read")
        self._far.close()

    def is_reset(self) -> None:
        self._far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._far.close()


@pytest.fixture
def transport() -> Iterator[Transport]:
    with ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        near = held.enter_context(socket.create_connection(listener.getsockname()))
        yield Transport(near, held.enter_context(listener.accept()[0]))


class Relay(SimpleNamespace):
    """What the sweeper looks at."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def abort(self) -> None:
        self.aborted = True


def relay_of(transport: Transport, **stream: Any) -> Relay:
    values = {
        "bytes_received": 0,
        "bytes_sent": 0,
        "unread": 0,
        "reset_waiting": False,
        "end_waiting": False,
        "paused": False,
        "write_paused": False,
    }
    return Relay(
        tcp=transport, stream=SimpleNamespace(**{**values, **stream}), half_closed=False, watched=None, aborted=False
    )


def swept(clock: Clock, relay: Relay, half_closed_seconds: float = 60) -> Sweeper:
    sweeper = Sweeper(clock, half_closed_seconds)
    sweeper.relays.add(relay)  # type: ignore[arg-type]
    sweeper.startService()
    return sweeper


def test_a_paused_socket_that_was_reset_is_found_and_given_up_after_a_while(clock: Clock, transport: Transport) -> None:
    relay = relay_of(transport, write_paused=True)
    swept(clock, relay)
    pump(clock, 200)
    assert not relay.aborted, "paused for hours is no reason"
    transport.is_reset()
    pump(clock, 59)
    assert not relay.aborted
    pump(clock, 1 + limits.PAUSED_PROBE_SECONDS)
    assert relay.aborted


def test_a_slow_reader_of_what_came_before_a_reset_is_left_alone(clock: Clock, transport: Transport) -> None:
    relay = relay_of(transport, write_paused=True)
    swept(clock, relay)
    transport.is_reset()
    for _ in range(10):
        relay.stream.bytes_sent += 1
        pump(clock, 45)
    assert not relay.aborted


def test_half_closed_and_silent_is_given_up_in_time(clock: Clock, transport: Transport) -> None:
    relay = relay_of(transport)
    relay.half_closed = True
    swept(clock, relay)
    pump(clock, 59)
    assert not relay.aborted
    pump(clock, 60)
    assert relay.aborted


@pytest.mark.parametrize("who", ["paused", "write_paused"])
def test_half_closed_with_a_slow_reader_is_not_silent(clock: Clock, transport: Transport, who: str) -> None:
    """Row B8: a reader may pause for hours."""
    relay = relay_of(transport, **{who: True})
    relay.half_closed = True
    swept(clock, relay)
    pump(clock, 3600)
    assert not relay.aborted


def test_an_end_both_ways_is_no_reset(clock: Clock, transport: Transport) -> None:
    """The kernel calls it a hang-up, while there may be much to read."""
    transport.ends_both_ways()
    relay = relay_of(transport, write_paused=True)
    swept(clock, relay)
    pump(clock, 200)
    assert not relay.aborted


def test_half_closed_is_left_alone_while_a_slow_reader_has_something_to_take(
    clock: Clock, transport: Transport
) -> None:
    relay = relay_of(transport)
    relay.half_closed = True
    transport.dataBuffer = b"to be read some day"
    swept(clock, relay)
    pump(clock, 3600)
    assert not relay.aborted
    transport.dataBuffer = b""
    pump(clock, 90)
    assert relay.aborted


@pytest.mark.parametrize("ended", [True, False])
def test_a_lost_stream_waits_for_its_reader_where_the_peer_had_ended_before(
    clock: Clock, transport: Transport, ended: bool
) -> None:
    relay = relay_of(transport, reset_waiting=True, end_waiting=ended, paused=True)
    swept(clock, relay)
    pump(clock, 120)
    assert relay.aborted is not ended
