"""SOCKS5 under a scanner's load, and said in pieces: a reply to each, silent clients, the greeting cut anywhere."""

import socket
from contextlib import ExitStack

import pytest

from socksfusion import limits
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, socks_request
from tests.end_to_end.programs import Installation
from tests.end_to_end.scanner import hundred_ports, scan

BOTH = b"\x05\x00" + b"\x05\x00\x00\x01"


def read_to_end(collected: list[bytes]) -> "Target":
    def collect(connection: socket.socket) -> None:
        received = bytearray()
        while data := connection.recv(65536):
            received += data
        collected.append(bytes(received))
        connection.sendall(b"done")

    return Target(collect)


def test_a_scan_finds_exactly_the_three_open_ports(serving: Installation) -> None:
    with hundred_ports() as (opened, closed):
        answers = scan(serving.clients_port, "127.0.0.1", sorted(opened + closed), at_once=50)
    assert [answer.port for answer in answers if answer.reply == 0] == sorted(opened)
    assert {answer.reply for answer in answers} == {0, 5}


def test_a2_a_burst_of_a_thousand_connects_gets_a_thousand_replies(serving: Installation) -> None:
    with hundred_ports() as (opened, _):
        answers = scan(serving.clients_port, "127.0.0.1", opened[:1] * 1000, at_once=1000)
    assert [answer.reply for answer in answers] == [0] * 1000
    print(f"slowest reply of 1,000: {max(answer.seconds for answer in answers) * 1000:.0f} ms")


def test_a2_two_thousand_silent_clients_do_not_keep_an_honest_one_out(serving: Installation) -> None:
    address = ("127.0.0.1", serving.clients_port)
    with ExitStack() as held, Target(echo) as target:
        silent = [held.enter_context(socket.create_connection(address, 30)) for _ in range(2000)]
        with socks_connect(serving.clients_port, "127.0.0.1", target.port) as client:
            client.sendall(b"honest")
            assert receive_exactly(client, 6) == b"honest"
        # the oldest went, not the newcomers
        oldest = silent[: 2000 - limits.INCOMPLETE_REQUESTS]
        assert [one.recv(1) for one in oldest] == [b""] * len(oldest)
        silent[-1].sendall(b"\x05\x01\x00")
        assert receive_exactly(silent[-1], 2) == b"\x05\x00"


def has_been_read(serving: Installation) -> None:
    """Return when the Proxy has handled what was sent before: another client has come and got an answer."""
    with socket.create_connection(("127.0.0.1", serving.clients_port), 30) as other:
        other.sendall(b"\x05\x01\x01")
        assert receive_exactly(other, 2) == b"\x05\xff"


def test_c3_greeting_and_request_may_be_cut_at_each_byte(serving: Installation) -> None:
    with Target(echo) as target:
        said = b"\x05\x01\x00" + socks_request("localhost", target.port) + b"early"
        for cut in range(1, len(said)):
            with socket.create_connection(("127.0.0.1", serving.clients_port), 30) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(said[:cut])
                has_been_read(serving)
                client.sendall(said[cut:])
                assert receive_exactly(client, 12)[:6] == BOTH, f"cut at {cut}"
                assert receive_exactly(client, 5) == b"early", f"cut at {cut}"


@pytest.mark.parametrize("size", [1, limits.EARLY_DATA_BYTES - 1, limits.EARLY_DATA_BYTES + 1, 3_000_000])
def test_c3_early_data_arrives_in_order(serving: Installation, size: int) -> None:
    """Everything in one piece, before any answer; what the Proxy does not keep waits in the socket."""
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    collected: list[bytes] = []
    with (
        read_to_end(collected) as target,
        socket.create_connection(("127.0.0.1", serving.clients_port), 30) as client,
    ):
        client.sendall(b"\x05\x01\x00" + socks_request("localhost", target.port) + data)
        client.shutdown(socket.SHUT_WR)
        assert receive_exactly(client, 12)[:6] == BOTH
        assert receive_exactly(client, 4) == b"done"
        assert client.recv(1) == b""
    assert collected == [data]
