"""Whatever way connections end, both programs have as many descriptors and streams afterwards as before."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.end_to_end.kernel import full_listener
from tests.end_to_end.network import Target, echo, reset, socks_connect, socks_open, socks_request
from tests.end_to_end.programs import Installation, Program, wait_until

TIMES = 150


def client_closes(port: int, target: int) -> None:
    socks_connect(port, "127.0.0.1", target).close()


def client_closes_with_unread_bytes(port: int, target: int) -> None:
    with socks_connect(port, "127.0.0.1", target) as client:
        client.sendall(bytes(100_000))
        client.recv(1)


def client_resets(port: int, target: int) -> None:
    client = socks_connect(port, "127.0.0.1", target)
    client.sendall(bytes(1000))
    reset(client)


def client_ends_first(port: int, target: int) -> None:
    with socks_connect(port, "127.0.0.1", target) as client:
        client.sendall(bytes(1000))
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def client_goes_at_once(port: int, target: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(b"\x05\x01\x00" + socks_request("127.0.0.1", target))


def client_resets_at_once(port: int, target: int) -> None:
    client = socket.create_connection(("127.0.0.1", port), 30)
    client.sendall(b"\x05\x01\x00" + socks_request("127.0.0.1", target))
    reset(client)


def client_reads_to_the_end(port: int, target: int) -> None:
    """For targets that end by themselves, in whatever way."""
    reply, client = socks_open(port, "127.0.0.1", target)
    with client:
        assert reply in (0, 5)
        try:
            while client.recv(65536):
                pass
        except ConnectionResetError:
            pass


def says_something(connection: socket.socket) -> None:
    connection.sendall(bytes(1000))


def says_something_and_resets(connection: socket.socket) -> None:
    connection.sendall(bytes(1000))
    reset(connection)


CASES: list[tuple[Callable[[int, int], None], Callable[[socket.socket], None]]] = [
    (client_closes, echo),
    (client_closes_with_unread_bytes, echo),
    (client_resets, echo),
    (client_ends_first, echo),
    (client_goes_at_once, echo),
    (client_resets_at_once, echo),
    (client_reads_to_the_end, says_something),
    (client_reads_to_the_end, says_something_and_resets),
    (client_reads_to_the_end, reset),
]


def returns_to(before: dict[Program, int]) -> None:
    wait_until(
        lambda: all(program.descriptors() <= number for program, number in before.items()),
        lambda: ([program.descriptors() for program in before], "were", list(before.values())),
    )


@pytest.fixture
def before(serving: Installation) -> dict[Program, int]:
    """Each program's descriptors after a first connection, which may be on its way out."""
    with Target(echo) as target:
        client_ends_first(serving.clients_port, target.port)
    return {program: program.descriptors() for program in serving.programs}


def test_descriptors_return_after_every_kind_of_end(serving: Installation, before: dict[Program, int]) -> None:
    port = serving.clients_port
    with ThreadPoolExecutor(16) as pool, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        targets = [Target(serve) for _, serve in CASES]
        ends = []
        for _ in range(TIMES):
            for (act, _), target in zip(CASES, targets, strict=True):
                ends.append(pool.submit(act, port, target.port))
            ends.append(pool.submit(client_reads_to_the_end, port, closed.getsockname()[1]))
        assert len(ends) >= 1000
        for end in ends:
            end.result(60)
        returns_to(before)
        for target in targets:
            target.__exit__()


def test_descriptors_return_after_dials_that_nobody_waits_for(
    serving: Installation, before: dict[Program, int]
) -> None:
    listener, filling = full_listener()
    with listener, filling:
        for _ in range(100):
            client_resets_at_once(serving.clients_port, listener.getsockname()[1])
        returns_to(before)
