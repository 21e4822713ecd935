"""Strangers who say nothing, or a byte at a time, cost a few seconds of a descriptor and keep nobody out."""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from socksfusion import limits
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import PATIENCE_SECONDS, Installation, installation, wait_until

SLOW = 500
# as long as one may go on saying: a record of 256 bytes, and 255 methods
TLS_HELLO = bytes.fromhex("16 03 01 01 00 01 00 00 fc 03 03") + bytes(250)
SOCKS_GREETING = b"\x05\xff" + bytes(range(255))


@contextmanager
def dribbling(connections: list[socket.socket], said: bytes) -> Iterator[None]:
    """Every other connection says a byte a second, for as long as somebody listens."""
    over = threading.Event()

    def dribble() -> None:
        for place in range(len(said)):
            for connection in connections[::2]:
                try:
                    connection.send(said[place : place + 1])
                except OSError:
                    pass  # closed, as it should be
            if over.wait(1):
                return

    talker = threading.Thread(target=dribble)
    talker.start()
    try:
        yield
    finally:
        over.set()
        talker.join()


def wait_until_closed(connections: list[socket.socket], number: int) -> None:
    """Until so many of the connections have ended, in whatever way."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ, connection)
        while len(connections) - len(selector.get_map()) < number:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            assert ready, f"{len(selector.get_map())} of {len(connections)} are still connected"
            for key, _ in ready:
                if has_ended(key.data):
                    selector.unregister(key.data)


def has_ended(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1024)
    except OSError:
        return True


def is_closed(connection: socket.socket) -> bool:
    """Whether it has ended by now."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextmanager
def strangers(port: int, number: int, per_address: int) -> Iterator[list[socket.socket]]:
    """Connections from many addresses of loopback."""
    with ExitStack() as held:
        yield [
            held.enter_context(
                socket.create_connection(
                    ("127.0.0.1", port), PATIENCE_SECONDS, (f"127.0.1.{1 + place // per_address}", 0)
                )
            )
            for place in range(number)
        ]


def is_served(made: Installation) -> None:
    with Target(echo) as target, socks_connect(made.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"honest")
        assert receive_exactly(client, 6) == b"honest"


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A Proxy that gives strangers two seconds."""
    with installation(tmp_path_factory.mktemp("hurried")) as made:
        copy = made.add_agent("demo")
        made.start_proxy("--handshake", "2", "--negotiation", "2")
        made.start_agent(copy)
        yield made


def test_a1_slow_clients_are_gone_in_time(hurried: Installation) -> None:
    with strangers(hurried.clients_port, SLOW, SLOW) as slow, dribbling(slow, SOCKS_GREETING):
        is_served(hurried)
        wait_until_closed(slow, SLOW)


def test_a1_slow_agents_are_gone_in_time(hurried: Installation) -> None:
    port = hurried.agents_port
    with strangers(port, SLOW, limits.UNAUTHENTICATED_PER_ADDRESS) as slow, dribbling(slow, TLS_HELLO):
        agent = hurried.programs[-1]
        is_served(hurried)
        agent.stop()
        hurried.start_agent(hurried.folder / "demo.agent")
        is_served(hurried)
        wait_until_closed(slow, SLOW)


def test_descriptors_are_back_after_strangers(hurried: Installation) -> None:
    assert hurried.proxy is not None
    proxy = hurried.proxy
    is_served(hurried)
    before = proxy.descriptors()
    with strangers(hurried.agents_port, 200, 50) as first, strangers(hurried.clients_port, 200, 200) as second:
        wait_until(lambda: proxy.descriptors() > before + 300, proxy.descriptors)
        wait_until_closed(first + second, 400)
        wait_until(lambda: proxy.descriptors() <= before, lambda: (proxy.descriptors(), "were", before))


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A Proxy whose time for strangers does not end during a test: what is closed is closed for their number."""
    with installation(tmp_path_factory.mktemp("patient")) as made:
        made.add_agent("demo")
        made.start_proxy("--handshake", "3600")
        yield made


def test_a2_of_one_address_sixty_four_are_taken(patient: Installation) -> None:
    with strangers(patient.agents_port, 100, 100) as crowd:
        wait_until_closed(crowd[64:], 36)
        agent = patient.start_agent(patient.folder / "demo.agent")
        is_served(patient)
        agent.stop()
        assert not any(map(is_closed, crowd[:64]))


def test_a2_of_all_addresses_a_thousand_and_twenty_four_are_taken(patient: Installation) -> None:
    with strangers(patient.agents_port, 1100, 60) as crowd:
        wait_until_closed(crowd[1024:], 76)
        assert not any(map(is_closed, crowd[:1024]))
    agent = patient.start_agent(patient.folder / "demo.agent")
    is_served(patient)
    agent.stop()
