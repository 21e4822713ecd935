"""Guards of the hot path by counts that do not depend on a clock: what a byte, a connect and an idle stream cost.

The bounds are what was counted when they were written, and a tenth above. Whoever makes the path cheaper lowers them;
whoever has to raise one says why in docs/performance.md.
"""

import gc
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from socksfusion import limits
from tests.tunnel.pair import HalfCloseable, Pair
from tests.tunnel.stream_opening import open_stream

MIB = limits.MIB
BULK_MIB = 8
CONNECTS = 50
IDLE_STREAMS = 200

# counted under Python 3.11; later versions call less, and the pair's own pipe is in them too
PYTHON_CALLS_A_MEBIBYTE = 2350
PYTHON_CALLS_A_CONNECT = 750
BLOCKS_OF_AN_IDLE_STREAM = 34
"""Memory blocks of both ends together, this test's protocols included."""


class Silent(HalfCloseable):
    """Counts what it hears and keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.bytes = 0

    def dataReceived(self, data: bytes) -> None:
        self.calls += 1
        self.bytes += len(data)


class CountedConnection:
    """An OpenSSL connection that counts the calls that carry data, and their bytes."""

    def __init__(self, connection: Any, calls: Counter[str], sizes: Counter[str]) -> None:
        self._connection = connection
        self._calls = calls
        self._sizes = sizes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _count(self, name: str, size: int) -> None:
        self._calls[name] += 1
        self._sizes[name] += size

    def send(self, data: bytes) -> int:
        self._count("SSL_write", len(data))
        written: int = self._connection.send(data)
        return written

    def bio_write(self, data: bytes) -> int:
        self._count("BIO_write", len(data))
        written: int = self._connection.bio_write(data)
        return written

    def recv(self, size: int) -> bytes:
        data: bytes = self._connection.recv(size)
        self._count("SSL_read", len(data))
        return data

    def bio_read(self, size: int) -> bytes:
        data: bytes = self._connection.bio_read(size)
        self._count("BIO_read", len(data))
        return data


def python_calls(work: Callable[[], None]) -> int:
    """How many Python functions ``work`` calls, itself included."""
    calls = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def carry(pair: Pair, here: HalfCloseable, mib: int) -> None:
    """Write ``mib`` MiB a read at a time, each sent in a turn of its own and received as it comes."""
    data = b"x" * limits.PLAIN_READ_BYTES
    for _ in range(mib * MIB // len(data)):
        here.transport.write(data)
        pair.clock.advance(0)
        pair.pump()


def bulk_pair() -> tuple[Pair, HalfCloseable, Silent]:
    pair = Pair(piece=limits.CARRIER_READ_BYTES, protocol=Silent)
    here, there = pair.open()
    assert isinstance(there, Silent)
    carry(pair, here, 1)
    return pair, here, there


def test_calls_of_openssl_for_a_mebibyte() -> None:
    pair, here, there = bulk_pair()
    calls: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for carrier in (pair.proxy, pair.agent):
        carrier.tls._connection = CountedConnection(carrier.tls._connection, calls, sizes)  # type: ignore[assignment]
    before = there.bytes
    carry(pair, here, BULK_MIB)
    assert there.bytes - before == BULK_MIB * MIB
    # one SSL_write a read of 128 KiB, and one for the window updates that come back
    assert calls["SSL_write"] <= 17 * BULK_MIB
    assert calls["BIO_read"] <= 17 * BULK_MIB
    assert calls["BIO_write"] <= 17 * BULK_MIB
    # records are 16 KiB, and headers make one more of a write
    assert calls["SSL_read"] <= 81 * BULK_MIB
    # nothing goes through OpenSSL twice
    for name in ("SSL_write", "SSL_read"):
        assert sizes[name] <= BULK_MIB * MIB * 1.001
    for name in ("BIO_read", "BIO_write"):
        assert sizes[name] <= BULK_MIB * MIB * 1.003


def test_writes_to_the_other_socket_for_a_mebibyte() -> None:
    """What the receiving protocol hears is what it writes on: a read's worth at a time, not a record's."""
    pair, here, there = bulk_pair()
    before = there.calls
    carry(pair, here, BULK_MIB)
    assert there.calls - before <= 9 * BULK_MIB


def test_python_calls_for_a_mebibyte() -> None:
    pair, here, _ = bulk_pair()
    calls = python_calls(lambda: carry(pair, here, BULK_MIB))
    assert calls <= PYTHON_CALLS_A_MEBIBYTE * BULK_MIB


def connect_and_close(pair: Pair) -> None:
    """One short connection: 100 bytes there and back, FIN both ways."""
    here = open_stream(pair.proxy)
    here.transport.write(b"x" * 100)
    pair.pump()
    there = pair.agent_owner.protocols.pop()
    there.transport.write(b"y" * 100)
    pair.pump()
    here.transport.loseWriteConnection()
    pair.pump()
    there.transport.loseWriteConnection()
    pair.pump()


def test_python_calls_for_a_connect() -> None:
    pair = Pair()
    connect_and_close(pair)

    def connects() -> None:
        for _ in range(CONNECTS):
            connect_and_close(pair)

    assert python_calls(connects) <= PYTHON_CALLS_A_CONNECT * CONNECTS


def test_a_connect_leaves_nothing_allocated() -> None:
    pair = Pair()
    for _ in range(CONNECTS):
        connect_and_close(pair)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(CONNECTS):
        connect_and_close(pair)
    gc.collect()
    assert sys.getallocatedblocks() - before < CONNECTS


def test_objects_of_an_idle_stream() -> None:
    pair = Pair(protocol=Silent)
    pair.open()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(IDLE_STREAMS):
        pair.open()
    gc.collect()
    assert sys.getallocatedblocks() - before <= BLOCKS_OF_AN_IDLE_STREAM * IDLE_STREAMS
