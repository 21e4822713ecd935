"""A reset passes as a reset, after every byte that came before it; it never looks like a clean end."""

import os
import socket
import threading
import time

import pytest

from tests.end_to_end.kernel import ESTABLISHED, sockets_to, unsent_bytes
from tests.end_to_end.network import Target, receive_exactly, reset, socks_connect
from tests.end_to_end.programs import Installation, wait_until

BLOCK = os.urandom(1_000_000)
CHUNK = 65536


def send_and_reset(connection: socket.socket, blocks: int) -> None:
    """Send, wait until the other kernel has all of it, then close with RST."""
    for _ in range(blocks):
        connection.sendall(BLOCK)
    wait_until(lambda: unsent_bytes(connection) == 0, lambda: f"{unsent_bytes(connection)} bytes unsent", seconds=60)
    reset(connection)


def take_and_be_reset(connection: socket.socket, blocks: int) -> None:
    """Read every byte that was sent, then the reset."""
    connection.settimeout(30)
    for number in range(blocks):
        assert receive_exactly(connection, len(BLOCK)) == BLOCK, f"block {number} differs"
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


@pytest.mark.parametrize("blocks", [0, 2, 24])
def test_the_targets_reset_comes_after_its_bytes_to_a_slow_client(serving: Installation, blocks: int) -> None:
    """Two megabytes fit into the buffers on the way; of 24 the Agent's socket still holds some when it is reset."""
    was_reset = threading.Event()

    def serve(connection: socket.socket) -> None:
        send_and_reset(connection, blocks)
        was_reset.set()

    with Target(serve) as target, socks_connect(serving.clients_port, "127.0.0.1", target.port) as client:
        if blocks <= 2:
            assert was_reset.wait(30)
        take_and_be_reset(client, blocks)


@pytest.mark.parametrize("blocks", [0, 2, 24])
def test_the_clients_reset_comes_after_its_bytes_to_a_slow_target(serving: Installation, blocks: int) -> None:
    was_reset = threading.Event()
    failures: list[BaseException] = []
    taken = threading.Event()

    def serve(connection: socket.socket) -> None:
        try:
            if blocks <= 2:
                assert was_reset.wait(30)
            take_and_be_reset(connection, blocks)
        except BaseException as failure:
            failures.append(failure)
        taken.set()

    with Target(serve) as target:
        client = socks_connect(serving.clients_port, "127.0.0.1", target.port)
        send_and_reset(client, blocks)
        was_reset.set()
        assert taken.wait(60)
    assert not failures, failures


def fill_the_way(connection: socket.socket) -> int:
    """Send to a reader that does not read until the Agent has stopped reading too; the number of bytes sent.

    The other kernel has all of them, and the Agent's socket some.
    """
    _, port = connection.getsockname()
    sent = 0
    while True:
        connection.sendall(BLOCK[:CHUNK])
        sent += CHUNK
        wait_until(lambda: unsent_bytes(connection) == 0, lambda: f"{unsent_bytes(connection)} bytes unsent")
        # a busy Agent may leave it there for a moment, one that has stopped leaves it there for good
        patience = time.monotonic() + 0.2
        while sum(sockets_to(port, ESTABLISHED)) >= CHUNK:
            if time.monotonic() > patience:
                return sent


@pytest.mark.parametrize("uploading", [False, True])
def test_what_waits_in_the_agents_socket_when_it_is_reset_arrives(serving: Installation, uploading: bool) -> None:
    """A web server that says 413 and closes with unread bytes in its socket makes its kernel send a reset."""
    sent: list[int] = []
    was_reset = threading.Event()

    def serve(connection: socket.socket) -> None:
        sent.append(fill_the_way(connection))
        reset(connection)
        was_reset.set()

    with Target(serve) as target, socks_connect(serving.clients_port, "127.0.0.1", target.port) as client:
        errors: list[OSError] = []
        uploader = threading.Thread(target=upload, args=(client, errors))
        if uploading:
            uploader.start()
        assert was_reset.wait(60)
        received = 0
        try:
            while data := client.recv(CHUNK):
                received += len(data)
        except OSError as error:
            errors.append(error)
        if uploading:
            uploader.join(30)
    # whichever of the two threads asks first is told of the reset, and nobody after it
    assert any(isinstance(error, ConnectionResetError) for error in errors), errors
    assert received == sum(sent)


def upload(client: socket.socket, errors: list[OSError]) -> None:
    try:
        while True:
            client.sendall(BLOCK)
    except OSError as error:
        errors.append(error)
