"""One direction ends before the other: it passes both ways, also during the dial, and silence after it has an end."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.end_to_end.kernel import CLOSE_WAIT, ESTABLISHED, SYN_SENT, full_listener, sockets_to
from tests.end_to_end.network import Target, receive_exactly, reset, socks_connect, socks_request
from tests.end_to_end.programs import Installation, installation, wait_until
from tests.end_to_end.transfers import MIB, Source, checksum, receive_checksum

UP = os.urandom(200_000)
DOWN = os.urandom(1_000_000)


def read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while data := connection.recv(65536):
        received += data
    return bytes(received)


def test_the_client_ends_first_and_the_target_answers_after_that(serving: Installation) -> None:
    heard: list[bytes] = []

    def answer_at_the_end(connection: socket.socket) -> None:
        heard.append(read_all(connection))
        connection.sendall(DOWN)

    with (
        Target(answer_at_the_end) as target,
        socks_connect(serving.clients_port, "127.0.0.1", target.port) as client,
    ):
        client.sendall(UP)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == DOWN
    assert heard == [UP]


def test_the_target_ends_first_and_the_client_answers_after_that(serving: Installation) -> None:
    heard: list[bytes] = []
    all_heard = threading.Event()

    def speak_first(connection: socket.socket) -> None:
        connection.sendall(DOWN)
        connection.shutdown(socket.SHUT_WR)
        heard.append(read_all(connection))
        all_heard.set()

    with Target(speak_first) as target, socks_connect(serving.clients_port, "127.0.0.1", target.port) as client:
        assert read_all(client) == DOWN
        client.sendall(UP)
        client.shutdown(socket.SHUT_WR)
        assert all_heard.wait(30)
    assert heard == [UP]


@pytest.mark.parametrize("said", [b"", b"all of it"])
def test_a_fin_during_the_dial_is_kept(serving: Installation, said: bytes) -> None:
    listener, filling = full_listener()
    port = listener.getsockname()[1]
    with listener, filling, socket.create_connection(("127.0.0.1", serving.clients_port), 30) as client:
        client.sendall(b"\x05\x01\x00" + socks_request("127.0.0.1", port) + said)
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: bool(sockets_to(port, SYN_SENT)), lambda: "no dial")
        listener.accept()[0].close()
        # the kernel tries again a second after the first SYN
        target, _ = listener.accept()
        with target:
            target.settimeout(30)
            assert read_all(target) == said
            target.sendall(DOWN)
        assert receive_exactly(client, 12)[:6] == b"\x05\x00\x05\x00\x00\x01"
        assert read_all(client) == DOWN


def test_a_reset_during_the_dial_cancels_the_dial(serving: Installation) -> None:
    listener, filling = full_listener()
    port = listener.getsockname()[1]
    with listener, filling:
        client = socket.create_connection(("127.0.0.1", serving.clients_port), 30)
        client.sendall(b"\x05\x01\x00" + socks_request("127.0.0.1", port))
        wait_until(lambda: bool(sockets_to(port, SYN_SENT)), lambda: "no dial")
        reset(client)
        wait_until(lambda: not sockets_to(port, SYN_SENT), lambda: "the dial goes on", seconds=5)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("impatient")) as made:
        copy = made.add_agent("demo")
        made.start_proxy("--half-closed", "1")
        made.start_agent(copy, "--half-closed", "1")
        yield made


def test_half_closed_and_silent_is_reset(impatient: Installation) -> None:
    """A target that never answers the client's FIN must not keep the connection for ever."""
    ended = threading.Event()

    def never_answer(connection: socket.socket) -> None:
        assert connection.recv(1) == b""
        # a reset does not wake a thread that does not read: ask the kernel
        wait_until(lambda: _was_reset(connection), lambda: "no reset")
        ended.set()

    with Target(never_answer) as target, socks_connect(impatient.clients_port, "127.0.0.1", target.port) as client:
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert ended.wait(30)


def test_half_closed_and_at_work_is_left_alone(impatient: Installation) -> None:
    """Ten bytes, 0.3 s apart: three times as long as silence may last."""
    tick = threading.Event()

    def slowly(connection: socket.socket) -> None:
        assert connection.recv(1) == b""
        for number in range(10):
            tick.wait(0.3)
            connection.sendall(bytes([number]))

    with Target(slowly) as target, socks_connect(impatient.clients_port, "127.0.0.1", target.port) as client:
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == bytes(range(10))


def test_a_reader_that_pauses_after_the_targets_end_gets_all_of_it(impatient: Installation) -> None:
    """As ``curl | less`` does: the target has ended long ago, and everything waits on the way."""
    size = 2 * MIB
    with (
        Source(size) as source,
        socks_connect(impatient.clients_port, "127.0.0.1", source.port) as client,
    ):
        wait_until(lambda: source.sent == size, lambda: source.sent)
        # the Agent has no socket left for it: it has given up on the client, which has never ended its direction
        wait_until(
            lambda: not (sockets_to(source.port, ESTABLISHED) or sockets_to(source.port, CLOSE_WAIT)), lambda: "there"
        )
        # the time of another silent connection has begun after that, and is over: so would be the time of this one
        test_half_closed_and_silent_is_reset(impatient)
        assert receive_checksum(client, size) == checksum(size)
        assert client.recv(1) == b"", "the target's FIN"


def _was_reset(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
