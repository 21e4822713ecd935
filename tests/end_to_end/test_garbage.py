"""Garbage on either port: the connection is closed, one line says why, and an honest Client notices nothing."""

import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import pytest

from tests.end_to_end.network import PATIENCE_SECONDS, Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, Program, wait_until
from tests.end_to_end.raw_agent import RawAgent

CALM_SECONDS = 5.0
"""An echo takes a millisecond; the machine may be busy."""

HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.6\r\n"
SOCKS = b"\x05\x04\x00\x01\x02\x80"
# the first byte is neither a SOCKS version nor a TLS record
RANDOM = b"\xa5" + random.Random(4).randbytes(4096)


def client_hello() -> bytes:
    """What a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.fixture
def proxy(serving: Installation) -> Iterator[Program]:
    """The Proxy, with a Client on it whose echoes come back all the time; afterwards nothing is left over."""
    proxy = serving.programs[0]
    with Target(echo) as target, socks_connect(serving.clients_port, "127.0.0.1", target.port) as client:
        descriptors = proxy.descriptors()
        assert_calm(client)
        yield proxy
        assert_calm(client)
        # what the test before this one opened may have been there when we counted
        wait_until(lambda: proxy.descriptors() <= descriptors, lambda: (descriptors, proxy.descriptors(), proxy.log))
    for program in serving.programs:
        assert not any("Traceback" in line or "Unhandled" in line for line in program.log), program.log


def assert_calm(client: socket.socket) -> None:
    began = time.monotonic()
    client.sendall(b"calm")
    assert receive_exactly(client, 4) == b"calm"
    assert time.monotonic() - began < CALM_SECONDS


def say(port: int, data: bytes) -> bytes:
    """All that a port answers to ``data`` until it closes, in whichever way."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        try:
            connection.sendall(data)
            while received := connection.recv(65536):
                answer += received
        except ConnectionResetError:
            pass
    return answer


def wait_told(proxy: Program, provoke: Callable[[], None], text: str) -> None:
    """Provoke a refusal until it stands in the log: a rule logs one line a second."""
    since = len(proxy.log)

    def told() -> bool:
        provoke()
        return any(text in line for line in proxy.log[since:])

    wait_until(told, lambda: proxy.log)


@pytest.mark.parametrize("garbage", [HTTP, SSH, RANDOM, SOCKS], ids=["HTTP", "SSH", "random", "SOCKS"])
def test_on_the_agents_port(serving: Installation, proxy: Program, garbage: bytes) -> None:
    def provoke() -> None:
        # a TLS alert at most: 5 bytes of header and 2 of alert
        assert len(say(serving.agents_port, garbage)) in (0, 7)

    wait_told(proxy, provoke, "rule=agent-handshake peer=127.0.0.1")


@pytest.mark.parametrize(
    ("garbage", "looks_like"),
    [
        (lambda: SSH, "looks like an SSH banner"),
        (lambda: RANDOM, "looks like no protocol that is served (first byte 0xa5)"),
        (client_hello, "looks like a TLS ClientHello"),
    ],
    ids=["SSH", "random", "TLS"],
)
def test_on_the_clients_port(
    serving: Installation, proxy: Program, garbage: Callable[[], bytes], looks_like: str
) -> None:
    said = garbage()

    def provoke() -> None:
        assert say(serving.clients_port, said) == b""

    wait_told(proxy, provoke, looks_like)


def test_what_a_burst_had_suppressed_is_told_soon(serving: Installation, proxy: Program) -> None:
    since = len(proxy.log)
    for _ in range(10):
        say(serving.clients_port, SSH)
    told = (
        "rule=client-protocol peer=127.0.0.1 why=looks like an SSH banner; this port serves SOCKS and HTTP suppressed="
    )
    proxy.wait_log(told, since=since)


def test_tls_client_without_a_certificate(serving: Installation, proxy: Program) -> None:
    """Not one byte of ours is said to it."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["socksfusion/1"])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def provoke() -> None:
        with socket.create_connection(("127.0.0.1", serving.agents_port), PATIENCE_SECONDS) as connection:
            tls = context.wrap_socket(connection)
            with pytest.raises(ssl.SSLError, match="certificate required"):
                tls.recv(1)

    wait_told(proxy, provoke, "peer did not return a certificate")


def test_tls_older_than_1_3(serving: Installation, proxy: Program) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", serving.agents_port), PATIENCE_SECONDS) as connection,
        pytest.raises(ssl.SSLError, match="protocol version"),
    ):
        context.wrap_socket(connection)


def test_agent_of_another_protocol_version(serving: Installation, proxy: Program) -> None:
    """By its hello, which is answered with the reason."""
    with RawAgent(serving.agents_port, serving.folder / "demo.agent") as agent:
        agent.hello(protocol=2)
        refusal = agent.next_record()
        assert (refusal["type"], refusal["reason"]) == ("refused", "version")
        agent.read_to_the_end()
        assert agent.gone == 0
    proxy.wait_log(": this Proxy speaks version 1 of the protocol")


def test_agent_without_our_protocol_in_its_handshake(serving: Installation, proxy: Program) -> None:
    """By ALPN: it is told nothing."""

    def provoke() -> None:
        with RawAgent(serving.agents_port, serving.folder / "demo.agent", alpn="socksfusion/2") as agent:
            agent.read_to_the_end()
            assert not agent.received

    wait_told(proxy, provoke, "it offers no version of the tunnel's protocol that this Proxy speaks (ALPN)")
