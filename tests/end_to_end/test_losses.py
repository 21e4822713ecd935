"""A program that ends: whoever was in the middle of a transfer is told so by a reset, never by a clean end."""

import os
import signal
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

    def end(self, name: str, by: str) -> None:
        """End the Agent or the Proxy by SIGKILL, or by SIGTERM, which it answers by an orderly end of its own."""
        program: Program = getattr(self, name)
        if by == "kill":
            program.kill()
        else:
            assert program.stop() == -signal.SIGTERM
            assert "Traceback" not in "\n".join(program.log)


@pytest.fixture
def running(installed: Installation) -> Running:
    return Running(installed)


ends = pytest.mark.parametrize(
    ("ended", "by"), [("agent", "kill"), ("proxy", "kill"), ("agent", "stop"), ("proxy", "stop")]
)


@ends
@pytest.mark.parametrize("reads_first", [True, False])
def test_a_download_that_is_cut_looks_cut(running: Running, ended: str, by: str, reads_first: bool) -> None:
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
        running.end(ended, by)
        assert isinstance(read_until_error(client), ConnectionResetError)
        assert told.wait(30)
    assert isinstance(target_saw[0], ConnectionResetError | BrokenPipeError)


@ends
def test_an_upload_that_is_cut_looks_cut(running: Running, ended: str, by: str) -> None:
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
        running.end(ended, by)
        assert told.wait(30)
    assert isinstance(target_saw[0], ConnectionResetError)


@ends
def test_connections_at_rest_are_reset_too(running: Running, ended: str, by: str) -> None:
    target_saw: list[OSError | None] = []
    told = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(connection.recv(1))
        target_saw.append(read_until_error(connection))
        told.set()

    with Target(serve) as target, socks_connect(running.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"x")
        assert receive_exactly(client, 1) == b"x"
        running.end(ended, by)
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


def test_an_answer_that_waits_for_its_reader_is_not_cut_short_by_a_clean_end(running: Running) -> None:
    """The target has ended, and the Proxy, which has all of it, is stopped before the client has read it."""
    size = 3_000_000
    with (
        Target(lambda connection: connection.sendall(bytes(size))) as target,
        socks_connect(running.clients_port, "127.0.0.1", target.port) as client,
    ):
        wait_until(
            lambda: not sockets_to(target.port, ESTABLISHED),
            lambda: sockets_to(target.port, ESTABLISHED),
        )
        running.end("proxy", "stop")
        assert isinstance(read_until_error(client), ConnectionResetError)


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
