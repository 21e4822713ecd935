"""The manhole before a login: raw messages against one Clock (attacks A1, A2, A6, A7, A8, G2)."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from socksfusion import limits
from socksfusion.descriptors import Headroom
from socksfusion.manhole.keys import load_host_key
from socksfusion.manhole.service import ManholeFactory
from socksfusion.manhole.transport import ManholeTransport
from socksfusion.refusals import Refusals

ADDRESS = IPv4Address("TCP", "192.0.2.1", 5000)


class Pipe(StringTransport):
    """A transport that remembers how it was closed."""

    gone = False

    def loseConnection(self) -> None:
        self.gone = True

    def abortConnection(self) -> None:
        self.gone = True


class Client(SSHClientTransport):
    """A stock client that stops when the connection is encrypted."""

    secure = False

    def verifyHostKey(self, key: bytes, fingerprint: str) -> Deferred[bool]:
        return succeed(True)

    def connectionSecure(self) -> None:
        self.secure = True

    def ssh_SERVICE_ACCEPT(self, packet: bytes) -> None:
        pass  # the tests say what comes next


class Visit:
    """One connection to a manhole, and the client's end of it."""

    def __init__(self, factory: ManholeFactory) -> None:
        server = factory.buildProtocol(ADDRESS)
        assert server is not None
        self.server: ManholeTransport = server
        self.pipe = Pipe()
        server.makeConnection(self.pipe)
        self.client = Client()
        self.client_pipe = Pipe()

    def shake_hands(self) -> None:
        self.client.makeConnection(self.client_pipe)
        while self._move(self.pipe, self.client.dataReceived) + self._move(self.client_pipe, self.server.dataReceived):
            pass

    def _move(self, pipe: Pipe, receive: Callable[[bytes], None]) -> int:
        data = pipe.value()
        pipe.clear()
        if data:
            receive(data)
        return len(data)

    def send(self, number: int, payload: bytes) -> None:
        self.client.sendPacket(number, payload)
        self._move(self.client_pipe, self.server.dataReceived)

    def reason(self) -> int:
        """The code of the disconnect message that the client got."""
        codes: list[int] = []
        self.client.receiveError = lambda code, text: codes.append(code)  # type: ignore[method-assign]
        self._move(self.pipe, self.client.dataReceived)
        (code,) = codes
        return code


@pytest.fixture(scope="module")
def host_key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return load_host_key(tmp_path_factory.mktemp("keys") / "host_key")


@pytest.fixture
def factory(host_key: Key, tmp_path: Path) -> ManholeFactory:
    return make_factory(host_key, tmp_path / "authorized_keys")


def make_factory(host_key: Key, authorized_keys: Path) -> ManholeFactory:
    clock = Clock()
    made = ManholeFactory(clock, {}, authorized_keys, host_key, "hello", Refusals(clock.seconds))
    made.doStart()
    return made


def test_a8_g2_the_lists_of_algorithms_are_pinned(factory: ManholeFactory) -> None:
    sent = Visit(factory).pipe.value()
    version, _, packet = sent.partition(b"\r\n")
    assert version == b"SSH-2.0-SocksFusion"
    length, padding, number = struct.unpack("!LBB", packet[:6])
    assert (length, number) == (len(packet) - 4, 20)
    *lists, rest = getNS(packet[6 + 16 : len(packet) - padding], 10)
    assert [entry.split(b",") for entry in lists] == [
        [b"curve25519-sha256", b"curve25519-sha256@libssh.org", b"ext-info-s"],
        [b"ssh-ed25519"],
        *[[b"aes256-ctr", b"aes128-ctr"]] * 2,
        *[[b"hmac-sha2-256", b"hmac-sha2-512"]] * 2,
        *[[b"none"]] * 2,
        *[[b""]] * 2,
    ]
    assert rest == b"\0\0\0\0\0"


@pytest.mark.parametrize("number", [6, 51, 52, 60, 80, 81, 90, 91, 94, 96, 98, 100, 255])
@pytest.mark.parametrize("login_begun", [False, True])
def test_a7_a_message_of_later_ends_the_connection(factory: ManholeFactory, number: int, login_begun: bool) -> None:
    visit = Visit(factory)
    visit.shake_hands()
    assert visit.client.secure
    if login_begun:
        visit.send(5, NS(b"ssh-userauth"))
    visit.send(number, NS(b"session") + struct.pack("!3L", 0, 2**20, 2**15))
    assert visit.pipe.gone
    assert visit.reason() == 2
    assert not hasattr(visit.server, "avatar")
    assert factory.refusals.counts["manhole-protocol"] == 1


@pytest.mark.parametrize("number", [5, 7, 50, 52, 80, 90, 98])
def test_a7_nor_may_it_come_before_the_keys(factory: ManholeFactory, number: int) -> None:
    visit = Visit(factory)
    visit.server.dataReceived(b"SSH-2.0-x\r\n" + plain_packet(bytes([number]) + NS(b"ssh-userauth")))
    assert visit.pipe.gone
    assert visit.server.service is None


def plain_packet(payload: bytes) -> bytes:
    """RFC 4253, section 6, without encryption."""
    padding = 16 - (5 + len(payload)) % 8
    return struct.pack("!LB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def test_a7_login_cant_be_begun_twice_to_forget_tries(factory: ManholeFactory) -> None:
    visit = Visit(factory)
    visit.shake_hands()
    visit.send(5, NS(b"ssh-userauth"))
    assert not visit.pipe.gone
    visit.send(5, NS(b"ssh-userauth"))
    assert visit.pipe.gone


def test_a7_the_service_of_channels_is_not_given(factory: ManholeFactory) -> None:
    visit = Visit(factory)
    visit.shake_hands()
    visit.send(5, NS(b"ssh-connection"))
    assert visit.pipe.gone
    assert visit.server.service is None


def test_a6_an_endless_version_line_ends_early(factory: ManholeFactory) -> None:
    visit = Visit(factory)
    chunk = b"SSH-" + b"x" * 4092
    taken = 0
    for _ in range(256):
        if not visit.pipe.gone:
            visit.server.dataReceived(chunk)
            taken += len(chunk)
    assert taken <= limits.MANHOLE_UNAUTHENTICATED_BYTES
    assert len(visit.server.buf) <= limits.MANHOLE_UNAUTHENTICATED_BYTES
    assert factory.refusals.counts["manhole-protocol"] == 1


@pytest.mark.parametrize("number", [2, 4])
def test_a6_a_flood_of_allowed_messages_is_bounded(factory: ManholeFactory, number: int) -> None:
    visit = Visit(factory)
    visit.shake_hands()
    sent = 0
    while not visit.pipe.gone:
        sent += 1
        visit.send(number, NS(bytes(1000)) if number == 2 else b"\0" + NS(bytes(1000)) + NS(b""))
    assert sent < 70
    assert factory.refusals.counts["manhole-bytes"] == 1


def test_a1_a_silent_peer_is_gone_after_the_limit(factory: ManholeFactory) -> None:
    visit = Visit(factory)
    factory.reactor.advance(limits.HANDSHAKE_SECONDS - 0.1)
    visit.shake_hands()  # the limit is for all of it, not for each byte
    assert not visit.pipe.gone
    factory.reactor.advance(0.1)
    assert visit.pipe.gone
    assert factory.refusals.counts["manhole-slow"] == 1


def test_a2_strangers_are_bounded_by_address_and_counted_back(factory: ManholeFactory) -> None:
    visits = [Visit(factory) for _ in range(limits.UNAUTHENTICATED_PER_ADDRESS)]
    assert factory.buildProtocol(ADDRESS) is None
    assert factory.refusals.counts["manhole-flood"] == 1
    for visit in visits:
        visit.server.connectionLost()
    assert factory.buildProtocol(ADDRESS) is not None
    assert factory.reactor.getDelayedCalls() == []


def test_j1_too_many_open_files_close_a_newcomer_at_once(factory: ManholeFactory) -> None:
    factory.headroom = Headroom(0)
    assert factory.buildProtocol(ADDRESS) is None
    assert factory.refusals.counts == {"descriptors": 1}


@pytest.mark.parametrize("method", [b"password", b"keyboard-interactive", b"hostbased", b"no\xffsuch"])
def test_g2_only_public_keys_and_three_tries(factory: ManholeFactory, method: bytes) -> None:
    visit = Visit(factory)
    visit.shake_hands()
    visit.send(5, NS(b"ssh-userauth"))
    for tries in range(1, 4):
        assert not visit.pipe.gone
        visit.send(50, NS(b"root") + NS(b"ssh-connection") + NS(method) + b"\0" + NS(b"secret"))
        assert visit.pipe.gone == (tries == limits.MANHOLE_TRIES)


def test_g2_methods_that_are_told(factory: ManholeFactory) -> None:
    visit = Visit(factory)
    visit.shake_hands()
    visit.send(5, NS(b"ssh-userauth"))
    told: list[bytes] = []
    visit.client.dispatchMessage = lambda number, payload: told.append(payload)  # type: ignore[method-assign]
    visit.send(50, NS(b"root") + NS(b"ssh-connection") + NS(b"none"))
    visit.client.dataReceived(visit.pipe.value())
    assert told[-1] == NS(b"publickey") + b"\0"


@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans())
def test_any_bytes_give_no_exception(host_key: Key, chunks: list[bytes], after_version: bool) -> None:
    visit = Visit(make_factory(host_key, Path("none")))
    if after_version:
        visit.server.dataReceived(b"SSH-2.0-x\r\n")
    for chunk in chunks:
        visit.server.dataReceived(chunk)


@given(st.integers(0, 255), st.binary(max_size=200))
def test_any_message_after_the_keys_gives_no_exception(host_key: Key, number: int, payload: bytes) -> None:
    visit = Visit(make_factory(host_key, Path("none")))
    visit.shake_hands()
    visit.send(5, NS(b"ssh-userauth"))
    visit.send(number, payload)
    visit.send(number, NS(b"u") + NS(b"ssh-connection") + NS(b"publickey") + payload)
