"""proxy.clients on real sockets: what only the kernel decides (resets, half-close, which answer arrives)."""

import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from socksfusion import limits
from socksfusion.proxy.access import Access
from socksfusion.proxy.clients import ClientFactory
from socksfusion.proxy.front import Front
from socksfusion.proxy.guessing import Guessing
from socksfusion.proxy.opening import Opened
from socksfusion.refusals import Refusals
from socksfusion.wire.socks5 import Reply
from tests.proxy.front import FakeAccounts

NEGOTIATION = bytes.fromhex("05 01 00  05 01 00 01 c0 00 02 01 00 50")
REFUSED = bytes.fromhex("05 00  05 05 00 01 00 00 00 00 00 00")


class Listener:
    """A clients' port on loopback whose router is this object."""

    def __init__(self) -> None:
        self.dialled: Deferred[None] = Deferred()
        self.cancelled: Deferred[None] = Deferred()
        self.dial: Deferred[Opened] | None = None
        clock: Any = reactor
        refusals = Refusals(clock.seconds)
        front = Front(clock, self, FakeAccounts(), Guessing(clock, refusals), refusals, lambda *_: None)
        self.port = clock.listenTCP(0, ClientFactory(front), interface="127.0.0.1")
        self.address = ("127.0.0.1", self.port.getHost().port)

    def open(self, host: str, port: int, access: Access) -> "Deferred[Opened]":
        self.dial = Deferred(lambda _: self.cancelled.callback(None))
        self.dialled.callback(None)
        return self.dial

    def connect(self, *sent: bytes) -> socket.socket:
        client = socket.create_connection(self.address, timeout=10)
        for data in sent:
            client.sendall(data)
        return client


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    pytest_twisted.blockon(listening.port.stopListening())


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def in_thread(work: Callable[[], Any]) -> "Deferred[Any]":
    return deferToThread(work)


@pytest_twisted.ensureDeferred
async def test_the_answer_arrives_although_more_was_sent_than_is_kept(listener: Listener) -> None:
    client = await in_thread(lambda: listener.connect(NEGOTIATION, bytes(limits.EARLY_DATA_BYTES + 100_000)))
    with client:
        await listener.dialled
        assert listener.dial is not None
        listener.dial.callback(Opened(Reply.REFUSED))
        assert await in_thread(lambda: read_all(client)) == REFUSED


@pytest_twisted.ensureDeferred
async def test_a_refusal_arrives_although_the_request_was_sent_behind_the_greeting(listener: Listener) -> None:
    client = await in_thread(lambda: listener.connect(b"\x05\x01\x01", bytes(100_000)))
    with client:
        assert await in_thread(lambda: read_all(client)) == b"\x05\xff"


@pytest_twisted.ensureDeferred
async def test_a_reset_during_the_dial_cancels_it(listener: Listener) -> None:
    client = await in_thread(lambda: listener.connect(NEGOTIATION))
    await listener.dialled
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await listener.cancelled


@pytest_twisted.ensureDeferred
async def test_a_half_close_during_the_dial_does_not_cancel_it(listener: Listener) -> None:
    client = await in_thread(lambda: listener.connect(NEGOTIATION, b"all of it"))
    with client:
        client.shutdown(socket.SHUT_WR)
        await listener.dialled
        # the listener has seen the FIN by the time that another client was served
        with await in_thread(lambda: listener.connect(b"\x05\x01\x01")) as other:
            assert await in_thread(lambda: read_all(other)) == b"\x05\xff"
        assert listener.dial is not None
        listener.dial.callback(Opened(Reply.REFUSED))
        assert await in_thread(lambda: read_all(client)) == REFUSED
        assert not listener.cancelled.called


@pytest_twisted.ensureDeferred
async def test_a_tls_hello_is_closed(listener: Listener) -> None:
    client = await in_thread(lambda: listener.connect(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(506)))
    with client:
        try:
            assert await in_thread(lambda: read_all(client)) == b""
        except ConnectionResetError:
            pass
