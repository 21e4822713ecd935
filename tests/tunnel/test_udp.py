"""UDP sockets in the reactor: what the kernel tells about a datagram arrives, whichever reactor waits for it."""

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import asyncioreactor, pollreactor, selectreactor
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred

from socksfusion import limits
from socksfusion.tunnel.udp import UDPSocket, bound_socket, connected_socket


class Receiver:
    """Collects; ``heard`` fires at the next thing that is told."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, tuple[str, int]]] = []
        self.failed: list[int | None] = []
        self.heard: Deferred[None] = Deferred()

    def datagram_received(self, payload: bytes, source: tuple[str, int]) -> None:
        self.received.append((payload, source))
        self._tell()

    def socket_failed(self, error: OSError) -> None:
        self.failed.append(error.errno)
        self._tell()

    def _tell(self) -> None:
        if not self.heard.called:
            self.heard.callback(None)


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


def unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest_twisted.ensureDeferred
async def test_a_connected_socket_hears_its_peer_and_nobody_else(peer: socket.socket) -> None:
    receiver = Receiver()
    port = peer.getsockname()[1]
    ours = connected_socket(running, "127.0.0.1", port, receiver)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"from elsewhere", (ours.host, ours.port))
        ours.send(b"question")
        question, source = peer.recvfrom(100)
        assert (question, source) == (b"question", (ours.host, ours.port))
        peer.sendto(b"answer", source)
        await receiver.heard
    finally:
        ours.close()
    assert receiver.received == [(b"answer", ("127.0.0.1", port))]


def test_a_connected_socket_sends_from_the_source_that_it_was_given(peer: socket.socket) -> None:
    ours = connected_socket(FakeReactor(), "127.0.0.1", peer.getsockname()[1], Receiver(), "127.0.0.5")
    ours.send(b"question")
    assert peer.recvfrom(100)[1] == ("127.0.0.5", ours.port)
    ours.close()


@pytest_twisted.ensureDeferred
async def test_a_bound_socket_hears_everybody_over_ipv6_too() -> None:
    receiver = Receiver()
    ours = bound_socket(running, "::1", receiver)
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.bind(("::1", 0))
            client.sendto(b"question", (ours.host, ours.port))
            await receiver.heard
            ((_, source),) = receiver.received
            assert source == client.getsockname()[:2]
            ours.send_to(b"answer", *source)
            assert client.recv(100) == b"answer"
    finally:
        ours.close()


class Turns:
    """One reactor of its own, made to take its turns by hand."""

    def __init__(self, make: Any) -> None:
        self.reactor = make()

    def until(self, met: Any) -> None:
        for _ in range(1000):
            if met():
                return
            self.reactor.iterate(0.01)
        raise AssertionError("it did not come")


REACTORS = {
    "epoll": lambda: __import__("twisted.internet.epollreactor", fromlist=["x"]).EPollReactor(),
    "poll": pollreactor.PollReactor,
    "select": selectreactor.SelectReactor,
    "asyncio": lambda: asyncioreactor.AsyncioSelectorReactor(__import__("asyncio").new_event_loop()),
    "uvloop": lambda: asyncioreactor.AsyncioSelectorReactor(pytest.importorskip("uvloop").new_event_loop()),
}


@pytest.mark.parametrize("name", list(REACTORS))
def test_a_refused_port_is_told_after_what_came_before(name: str, peer: socket.socket) -> None:
    turns = Turns(REACTORS[name])
    receiver = Receiver()
    ours = connected_socket(turns.reactor, "127.0.0.1", peer.getsockname()[1], receiver)
    ours.send(b"one")
    _, source = peer.recvfrom(100)
    peer.sendto(b"answer", source)
    peer.close()
    ours.send(b"two")
    turns.until(lambda: receiver.failed)
    assert receiver.failed == [errno.ECONNREFUSED]
    assert [payload for payload, _ in receiver.received] == [b"answer"]
    assert ours.fileno() == -1
    assert ours not in turns.reactor.getReaders()


@pytest.mark.parametrize("name", list(REACTORS))
def test_a_refused_port_is_told_where_nothing_came_before(name: str) -> None:
    turns = Turns(REACTORS[name])
    receiver = Receiver()
    ours = connected_socket(turns.reactor, "127.0.0.1", unused_port(), receiver)
    ours.send(b"anybody?")
    turns.until(lambda: receiver.failed)
    assert receiver.failed == [errno.ECONNREFUSED]
    assert ours.fileno() == -1


def test_a_flooded_socket_lets_others_have_their_turn(peer: socket.socket) -> None:
    reactor = FakeReactor()
    receiver = Receiver()
    ours = connected_socket(reactor, "127.0.0.1", peer.getsockname()[1], receiver)
    for _ in range(limits.DATAGRAMS_PER_TURN + 1):
        peer.sendto(b"x", (ours.host, ours.port))
    ours.doRead()
    assert len(receiver.received) == limits.DATAGRAMS_PER_TURN
    ours.doRead()
    assert len(receiver.received) == limits.DATAGRAMS_PER_TURN + 1
    ours.close()


def test_a_closed_socket_does_nothing_more(peer: socket.socket) -> None:
    reactor = FakeReactor()
    receiver = Closing()
    receiver.ours = connected_socket(reactor, "127.0.0.1", peer.getsockname()[1], receiver)
    for _ in range(2):
        peer.sendto(b"x", (receiver.ours.host, receiver.ours.port))
    receiver.ours.doRead()
    assert len(receiver.received) == 1, "it was closed at the first"
    receiver.ours.close()
    receiver.ours.send(b"to nobody")
    assert reactor.readers == []


def test_a_socket_that_can_not_be_had_leaves_no_descriptor() -> None:
    reactor = FakeReactor()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="assign requested address"):
        bound_socket(reactor, "192.0.2.77", Receiver())
    with pytest.raises(OSError):
        connected_socket(reactor, "255.255.255.255", 9, Receiver())
    assert len(os.listdir("/proc/self/fd")) == before
    assert reactor.readers == []


class FakeReactor:
    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class Closing(Receiver):
    ours: UDPSocket

    def datagram_received(self, payload: bytes, source: tuple[str, int]) -> None:
        super().datagram_received(payload, source)
        self.ours.close()
