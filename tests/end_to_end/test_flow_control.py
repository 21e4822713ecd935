"""Whoever reads slowly stops whoever sends to it, nobody else, and memory stays bounded."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.end_to_end.namespaces import Network
from tests.end_to_end.network import Target, echo, receive_exactly, reset, socks_connect, socks_request
from tests.end_to_end.programs import Installation, installation, wait_until
from tests.end_to_end.transfers import MIB, Source, checksum, pieces, receive_checksum

LARGEST_RSS = 150 * 1_000_000
TINY = 4096


@pytest.fixture
def watched(serving: Installation) -> Iterator[Installation]:
    """The programs, whose memory must stay in bounds throughout the test."""
    for program in serving.programs:
        program.forget_peak_rss()
    yield serving
    peaks = [program.peak_rss_bytes() for program in serving.programs]
    print("peak RSS, MB:", *(round(peak / 1e6) for peak in peaks))
    assert max(peaks) < LARGEST_RSS, peaks


def is_alive(serving: Installation) -> None:
    """Somebody else's connection works."""
    with Target(echo) as target, socks_connect(serving.clients_port, "127.0.0.1", target.port) as client:
        for piece in pieces(4 * MIB):
            threading.Thread(target=client.sendall, args=(piece,)).start()
            assert receive_exactly(client, len(piece)) == piece


def wait_until_stopped(source: Source) -> None:
    """Until the source has sent something and then nothing while somebody else's connection worked."""

    def stopped() -> bool:
        before = source.sent
        time.sleep(0.3)
        return source.sent == before > 0

    wait_until(stopped, lambda: f"{source.sent} bytes sent")


def test_one_stopped_reader_among_twenty_streams_and_a_gigabyte(watched: Installation) -> None:
    each = 1_000_000_000 // 19
    with Source(each) as source, Source(each) as held, ThreadPoolExecutor(19) as pool, ExitStack() as opened:
        opened.enter_context(socks_connect(watched.clients_port, "127.0.0.1", held.port))

        def download(_number: int) -> int:
            with socks_connect(watched.clients_port, "127.0.0.1", source.port) as client:
                result = receive_checksum(client, each)
                assert client.recv(1) == b""
                return result

        begun = time.monotonic()
        assert set(pool.map(download, range(19))) == {checksum(each)}
        print(f"{each * 19 / 1e6 / (time.monotonic() - begun):.0f} MB/s")
        assert 0 < held.sent < each


def test_a_slow_client_stops_its_own_target_and_gets_everything_later(watched: Installation) -> None:
    size = 100 * MIB
    with Source(size) as source, socks_connect(watched.clients_port, "127.0.0.1", source.port) as client:
        # the windows grow first
        first = receive_exactly(client, 20 * MIB)
        wait_until_stopped(source)
        assert source.sent < size
        is_alive(watched)
        assert first == b"".join(pieces(size))[: len(first)]
        receive_checksum(client, size - len(first))
        assert client.recv(1) == b""


def test_fifty_fast_targets_and_readers_that_stop(watched: Installation) -> None:
    """Each has read enough for its window to grow before it stops."""
    with Source(50 * MIB) as source, ExitStack() as opened, ThreadPoolExecutor(50) as pool:
        clients = [
            opened.enter_context(socks_connect(watched.clients_port, "127.0.0.1", source.port)) for _ in range(50)
        ]
        list(pool.map(lambda client: receive_checksum(client, 4 * MIB), clients))
        wait_until_stopped(source)
        is_alive(watched)
        for client in clients:
            reset(client)


def test_a_thousand_downloads_aborted_at_a_tenth(watched: Installation) -> None:
    size = 4 * MIB
    expected = checksum(size)

    def download(_number: int) -> None:
        with socks_connect(watched.clients_port, "127.0.0.1", source.port) as client:
            receive_checksum(client, size // 10)

    with Source(size) as source, ThreadPoolExecutor(8) as pool:
        for round_ in range(2):
            with socks_connect(watched.clients_port, "127.0.0.1", source.port) as client:
                assert receive_checksum(client, size) == expected
                assert client.recv(1) == b""
            if round_ == 0:
                before = [program.rss_bytes() for program in watched.programs]
                list(pool.map(download, range(1000)))
    after = [program.rss_bytes() for program in watched.programs]
    assert all(late - early < 16_000_000 for early, late in zip(before, after, strict=True)), (before, after)


def tiny(connection: socket.socket) -> None:
    for name in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        connection.setsockopt(socket.SOL_SOCKET, name, TINY)


def tiny_echo(connection: socket.socket) -> None:
    tiny(connection)
    echo(connection)


def both_ways(clients_port: int, host: str, port: int, size: int) -> None:
    """Send ``size`` bytes to an echo, all the while reading what comes back."""
    with socket.socket() as client:
        tiny(client)
        client.settimeout(60)
        client.connect(("127.0.0.1", clients_port))
        client.sendall(b"\x05\x01\x00" + socks_request(host, port))
        assert receive_exactly(client, 12)[3] == 0

        def send() -> None:
            for piece in pieces(size):
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert receive_checksum(client, size) == checksum(size)
        assert client.recv(1) == b""
        sender.join()


def test_sixty_four_streams_both_ways_through_tiny_buffers(watched: Installation) -> None:
    with Target(tiny_echo) as target, ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda _: both_ways(watched.clients_port, "127.0.0.1", target.port, 300_000), range(64)))


def test_b3_sixty_four_streams_both_ways_where_every_buffer_is_tiny(
    network: Network, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The carrier's too: reading it must never wait for writing it."""
    near, far = network.near, network.far
    for namespace in (near, far):
        namespace.setting("ipv4/tcp_rmem", f"{TINY} {TINY} {TINY}")
        namespace.setting("ipv4/tcp_wmem", f"{TINY} {TINY} {TINY}")
    with installation(tmp_path_factory.mktemp("tiny"), near.prefix) as made, ThreadPoolExecutor(64) as pool:
        copy = made.add_agent("demo")
        made.start_proxy()
        made.start_agent(copy, allow=())
        with far.inside():
            target = Target(tiny_echo, "192.0.2.2")

        def exchange(_number: int) -> None:
            with near.inside():
                both_ways(made.clients_port, "192.0.2.2", target.port, MIB // 2)

        with target:
            list(pool.map(exchange, range(64)))
