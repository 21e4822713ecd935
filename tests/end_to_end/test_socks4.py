"""SOCKS4 and SOCKS4a clients of the Proxy: curl, and raw bytes (row C1)."""

import socket
import struct

import pytest

from tests.end_to_end.network import PATIENCE_SECONDS, Target, echo, receive_exactly
from tests.end_to_end.programs import Installation, free_port
from tests.end_to_end.web import curl, fetched, needs_curl, web_server


def ask(clients_port: int, port: int, *, name: bytes = b"", host: str = "127.0.0.1") -> tuple[int, socket.socket]:
    """Ask for a connection: the code of the reply and the socket. With ``name`` by SOCKS4a."""
    client = socket.create_connection(("127.0.0.1", clients_port), PATIENCE_SECONDS)
    address = b"\0\0\0\x01" if name else socket.inet_aton(host)
    client.sendall(struct.pack("!BBH", 4, 1, port) + address + b"some user\0" + (name + b"\0" if name else b""))
    version, code = receive_exactly(client, 8)[:2]
    assert version == 0
    return code, client


@pytest.mark.parametrize("name", [b"", b"localhost"], ids=["SOCKS4", "SOCKS4a"])
def test_both_ways_and_half_close(serving: Installation, name: bytes) -> None:
    with Target(echo) as target:
        code, client = ask(serving.clients_port, target.port, name=name)
        with client:
            assert code == 0x5A
            client.sendall(b"there and back")
            client.shutdown(socket.SHUT_WR)
            assert receive_exactly(client, 14) == b"there and back"
            assert client.recv(1) == b""


@pytest.mark.parametrize("name", [b"", b"localhost", b"no.such.name.invalid"], ids=["SOCKS4", "SOCKS4a", "no name"])
def test_what_cant_be_reached_is_rejected(serving: Installation, name: bytes) -> None:
    code, client = ask(serving.clients_port, free_port(), name=name)
    with client:
        assert code == 0x5B
        assert client.recv(1) == b""


def test_a_denied_target_is_rejected(serving: Installation) -> None:
    code, client = ask(serving.clients_port, 80, host="169.254.169.254")
    client.close()
    assert code == 0x5B


def test_c1_a_name_without_an_end_is_rejected_not_kept(serving: Installation) -> None:
    with socket.create_connection(("127.0.0.1", serving.clients_port), PATIENCE_SECONDS) as client:
        client.sendall(b"\x04\x01\x00\x50\0\0\0\x01\0" + b"a" * 65536)
        assert receive_exactly(client, 8)[:2] == b"\x00\x5b"
        assert client.recv(1) == b""


@needs_curl
def test_curl_lets_the_agent_resolve_by_socks4a(serving: Installation) -> None:
    with web_server() as web:
        port = web.rpartition(":")[2]
        assert fetched("--socks4a", f"127.0.0.1:{serving.clients_port}", f"http://localhost:{port}/")["line"]
    closed = curl("--socks4a", f"127.0.0.1:{serving.clients_port}", f"http://localhost:{free_port()}/")
    assert closed.returncode == 97
