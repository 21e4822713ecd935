"""Changes of the network: what rtnetlink tells that matters, and how often it is passed on."""

import errno
import socket
import struct
import sys
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.agent.network_changes import NetworkChanges, open_netlink, tells_of_change

NEW_LINK, NEW_ADDRESS, GONE_ADDRESS, NEW_ROUTE, GONE_ROUTE = 16, 20, 21, 24, 25
UNIVERSE, LINK, HOST = 0, 253, 254
UNICAST, LOCAL, BROADCAST, MULTICAST = 1, 2, 3, 5


def message(kind: int, body: bytes) -> bytes:
    whole = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return whole + bytes(-len(whole) % 4)


def address(kind: int = NEW_ADDRESS, scope: int = UNIVERSE, flags: int = 0x80) -> bytes:
    # ifaddrmsg, and IFA_ADDRESS 192.0.2.1
    return message(kind, struct.pack("=BBBBI", 2, 24, flags, scope, 3) + struct.pack("=HH4B", 8, 1, 192, 0, 2, 1))


def route(kind: int = NEW_ROUTE, route_type: int = UNICAST, flags: int = 0) -> bytes:
    return message(kind, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, UNIVERSE, route_type, flags))


@pytest.mark.parametrize(
    ("datagram", "tells"),
    [
        (address(), True),
        (address(GONE_ADDRESS), True),
        (address(scope=LINK), False),
        (address(scope=HOST), False),
        (address(flags=0x40), False),
        (route(), True),
        (route(GONE_ROUTE), True),
        (route(route_type=LOCAL), False),
        (route(route_type=BROADCAST), False),
        (route(route_type=MULTICAST), False),
        (route(flags=0x200), False),
        (message(NEW_LINK, bytes(16)), False),
        (message(NEW_LINK, b"odd") + route(), True),
        (message(NEW_LINK, b"odd") + address(scope=HOST), False),
        (b"", False),
        (route()[:10], True),
        (route()[:-4], True),
        (message(NEW_ROUTE, b""), True),
        (message(NEW_ADDRESS, b""), True),
    ],
    ids=[
        "address",
        "address gone",
        "link-local address",
        "loopback address",
        "tentative address",
        "route",
        "route gone",
        "local route",
        "broadcast route",
        "multicast route",
        "cached route",
        "link",
        "link and route",
        "link and loopback",
        "nothing",
        "short header",
        "short body",
        "route without a body",
        "address without a body",
    ],
)
def test_what_matters(datagram: bytes, tells: bool) -> None:
    assert tells_of_change(datagram) is tells


@given(st.binary(max_size=200))
def test_nothing_that_comes_raises_or_hangs(datagram: bytes) -> None:
    assert tells_of_change(datagram) in (True, False)


class Kernel:
    """The netlink socket."""

    def __init__(self) -> None:
        self.waiting: deque[bytes | OSError] = deque()
        self.reads = 0
        self.closed = False

    def recv(self, size: int) -> bytes:
        self.reads += 1
        if not self.waiting:
            raise BlockingIOError
        first = self.waiting.popleft()
        if isinstance(first, OSError):
            raise first
        return first

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        self.closed = True


class Reactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)


class Watched:
    """NetworkChanges under a Clock; ``told`` are the times of its calls."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.kernel = Kernel()
        self.told: list[float] = []
        made: Any = lambda: self.kernel  # noqa: E731
        self.changes = NetworkChanges(
            self.reactor,
            lambda: self.told.append(round(self.reactor.seconds(), 3)),
            open_socket=made,
            uniform=lambda low, high: high,
        )
        self.changes.startService()

    def happen(self, *datagrams: bytes | OSError) -> None:
        """The kernel tells; the reactor reads if somebody listens."""
        self.kernel.waiting.extend(datagrams)
        if self.reactor.readers:
            self.changes.doRead()


def test_what_belongs_together_is_told_once() -> None:
    watched = Watched()
    watched.happen(address())
    watched.happen(route(), route())
    assert watched.told == []
    watched.reactor.advance(limits.NETWORK_SETTLE_SECONDS)
    assert watched.told == [0.5]
    assert not watched.kernel.waiting
    watched.reactor.advance(60)
    assert len(watched.told) == 1


def test_what_does_not_matter_is_not_told() -> None:
    watched = Watched()
    watched.happen(address(scope=HOST), route(route_type=LOCAL))
    assert not watched.reactor.getDelayedCalls()
    assert watched.reactor.readers


def test_a_network_that_flaps_is_told_at_the_limit_and_read_as_seldom() -> None:
    watched = Watched()
    for _ in range(1024):
        watched.happen(route(GONE_ROUTE), route(), address())
        watched.reactor.advance(1 / 128)
    # eight seconds: the first after half a second, the others two seconds apart and the time to the next change
    assert watched.told == pytest.approx([0.5, 2.5, 4.5, 6.5], abs=0.1)
    assert watched.kernel.reads < 5 * 2 * limits.NETWORK_MESSAGES_PER_TURN


def test_a_lost_message_is_a_change() -> None:
    watched = Watched()
    watched.happen(OSError(errno.ENOBUFS, "No buffer space available"))
    watched.reactor.advance(limits.NETWORK_SETTLE_SECONDS)
    assert len(watched.told) == 1


def test_after_the_end_nothing_is_told_and_nothing_open() -> None:
    watched = Watched()
    watched.happen(route())
    watched.changes.stopService()
    watched.reactor.advance(60)
    assert watched.told == []
    assert watched.kernel.closed
    assert not watched.reactor.readers
    assert not watched.reactor.getDelayedCalls()


def test_where_there_is_no_netlink_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    reactor = Reactor()
    changes = NetworkChanges(reactor, lambda: pytest.fail("told"))
    changes.startService()
    assert not reactor.readers
    assert changes.fileno() == -1
    changes.stopService()


@pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux's")
def test_where_the_family_is_forbidden_the_agent_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object) -> Any:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", forbidden)
    assert open_netlink() is None


@pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux's")
def test_the_kernel_gives_a_socket() -> None:
    made = open_netlink()
    assert made is not None
    made.close()
