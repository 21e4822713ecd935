"""A program that dies: whoever was in the middle of a transfer is told so by a reset, never by a clean end."""

import os
import socket
import threading

import pytest

from tests.end_to_end.kernel import CLOSE_WAIT, ESTABLISHED, sockets_to
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, Program, wait_until

BLOCK = os.urandom(65536)


def send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(BLOCK)


def read_until_error(connection: socket.socket) -> OSError | None:
    """The error that ends the reading, or None for a clean end."""
    connection.settimeout(30)
    try:
        while connection.recv(1 << 20):
            pass
    except OSError as error:
        return error
    return None


class Running:
    """Both programs, for a test that ends them."""

    def __init__(self, installed: Installation) -> None:
        self.installed = installed
        copy = installed.add_agent("demo")
        self.proxy: Program = installed.start_proxy()
        self.agent: Program = installed.start_agent(copy)
        self.clients_port = installed.clients_port


@pytest.fixture
def running(installed: Installation) -> Running:
    return Running(installed)


@pytest.mark.parametrize("killed", ["agent", "proxy"])
@pytest.mark.parametrize("reads_first", [True, False])
def test_a_download_that_is_cut_looks_cut(running: Running, killed: str, reads_first: bool) -> None:
    """Client and target both see it, whether the client was reading or had stopped."""
    target_saw: list[OSError] = []
    told = threading.Event()

    def serve(connection: socket.socket) -> None:
        try:
            send_for_ever(connection)
        except OSError as error:
            target_saw.append(error)
            told.set()

    with Target(serve) as target, socks_connect(running.clients_port, "127.0.0.1", target.port) as client:
        if reads_first:
            for _ in range(100):
                receive_exactly(client, len(BLOCK))
        getattr(running, killed).kill()
        assert isinstance(read_until_error(client), ConnectionResetError)
        assert told.wait(30)
    assert isinstance(target_saw[0], ConnectionResetError | BrokenPipeError)


@pytest.mark.parametrize("killed", ["agent", "proxy"])
def test_an_upload_that_is_cut_looks_cut(running: Running, killed: str) -> None:
    target_saw: list[OSError | None] = []
    told = threading.Event()
    begun = threading.Event()

    def serve(connection: socket.socket) -> None:
        receive_exactly(connection, 100 * len(BLOCK))
        begun.set()
        target_saw.append(read_until_error(connection))
        told.set()

    with Target(serve) as target, socks_connect(running.clients_port, "127.0.0.1", target.port) as client:

        def upload() -> None:
            try:
                send_for_ever(client)
            except OSError:
                pass

        threading.Thread(target=upload).start()
        assert begun.wait(30)
        getattr(running, killed).kill()
        assert told.wait(30)
    assert isinstance(target_saw[0], ConnectionResetError)


@pytest.mark.parametrize("killed", ["agent", "proxy"])
def test_connections_at_rest_are_reset_too(running: Running, killed: str) -> None:
    target_saw: list[OSError | None] = []
    told = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(connection.recv(1))
        target_saw.append(read_until_error(connection))
        told.set()

    with Target(serve) as target, socks_connect(running.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"x")
        assert receive_exactly(client, 1) == b"x"
        getattr(running, killed).kill()
        assert isinstance(read_until_error(client), ConnectionResetError)
        assert told.wait(30)
    assert isinstance(target_saw[0], ConnectionResetError)


def test_what_came_before_a_fin_is_delivered_although_the_agent_is_lost(running: Running) -> None:
    """The client reads nothing until the agent is gone; the target had ended before."""
    size = 3_000_000
    data = (BLOCK * (size // len(BLOCK) + 1))[:size]
    with (
        Target(lambda connection: connection.sendall(data)) as target,
        Target(echo) as other,
        socks_connect(running.clients_port, "127.0.0.1", other.port) as fence,
        socks_connect(running.clients_port, "127.0.0.1", target.port) as client,
    ):
        # the Agent has read all that the target sent ...
        wait_until(
            lambda: sockets_to(target.port, CLOSE_WAIT) == [0] or not sockets_to(target.port, ESTABLISHED),
            lambda: sockets_to(target.port, CLOSE_WAIT),
        )
        # ... and sent it on: what another stream says after that goes behind it
        for _ in range(3):
            fence.sendall(bytes(300_000))
            receive_exactly(fence, 300_000)
        running.agent.kill()
        running.proxy.wait_log("is gone")
        client.settimeout(30)
        assert receive_exactly(client, size) == data
        assert client.recv(1) == b"", "the target's FIN"


def test_without_a_fin_nothing_looks_complete(running: Running) -> None:
    """As above, but the target had not ended."""
    said = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(BLOCK)
        said.set()
        read_until_error(connection)

    with Target(serve) as target, socks_connect(running.clients_port, "127.0.0.1", target.port) as client:
        assert said.wait(30)
        receive_exactly(client, len(BLOCK))
        running.agent.kill()
        assert isinstance(read_until_error(client), ConnectionResetError)
