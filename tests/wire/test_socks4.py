"""wire.socks4: SOCKS4 and 4a, whole, cut at every byte, and without an end (row C1)."""

import pytest

from socksfusion import limits
from socksfusion.wire.socks4 import ServerConnection
from socksfusion.wire.socks5 import Address, AddressKind, Command, Reply
from socksfusion.wire.way_in import ProtocolFailed, RequestReceived
from tests.wire.talking import bytewise, talk

HEAD = bytes.fromhex("04 01 00 50")
TO_IPV4 = HEAD + bytes.fromhex("c0 00 02 01") + b"user\0"
NAMED = HEAD + b"\0\0\0\x01"
REJECTED = bytes.fromhex("00 5b 00 00 00 00 00 00")


def to_name(name: bytes) -> bytes:
    return NAMED + b"\0" + name + b"\0"


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (TO_IPV4, Address("192.0.2.1", 80, AddressKind.IPV4)),
        (HEAD + bytes(4) + b"\0", Address("0.0.0.0", 80, AddressKind.IPV4)),
        (NAMED + b"user\0example.com\0", Address("example.com", 80, AddressKind.NAME)),
        (to_name(b"a" * 253), Address("a" * 253, 80, AddressKind.NAME)),
        (HEAD + b"\0\0\0\xff" + b"u" * 255 + b"\0a\0", Address("a", 80, AddressKind.NAME)),
    ],
    ids=["ipv4", "0.0.0.0", "name", "long name", "long user id"],
)
def test_a_request_gives_its_address_at_every_split(data: bytes, address: Address) -> None:
    whole = talk(data + b"early")
    assert whole == ([RequestReceived(Command.CONNECT, address)], b"", b"early")
    assert talk(*bytewise(data + b"early")) == whole


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (bytes.fromhex("04 02 00 50 c0 00 02 01 00"), "socks4-command"),
        (to_name(b""), "socks4-host"),
        (to_name(b"\xff\xfe"), "socks4-host"),
        (to_name(b"a" * 254), "socks4-text"),
        (NAMED + b"\0" + b"a" * 254, "socks4-text"),
        (HEAD + b"\x7f\0\0\x01" + b"u" * 256, "socks4-text"),
        (HEAD + b"\x7f\0\0\x01" + b"u" * 256 + b"\0", "socks4-text"),
    ],
    ids=["bind", "empty name", "not utf-8", "long name", "name without nul", "user id without nul", "long user id"],
)
def test_c1_what_is_not_served_is_rejected_at_every_split(data: bytes, rule: str) -> None:
    (event,), sent, early = whole = talk(data + b"early")
    assert isinstance(event, ProtocolFailed)
    assert (event.rule, sent, early) == (rule, REJECTED, b"")
    assert talk(*bytewise(data + b"early")) == whole


def test_c1_no_more_is_kept_than_a_request_may_have() -> None:
    connection = ServerConnection()
    assert connection.receive_data(NAMED + b"u" * limits.SOCKS4_USER_BYTES) == []
    (event,) = connection.receive_data(bytes(0) + b"u" * 65536)
    assert isinstance(event, ProtocolFailed)


def test_f2_where_a_login_is_required_socks4_is_rejected() -> None:
    (event,), sent, _ = talk(TO_IPV4, login_required=True)
    assert isinstance(event, ProtocolFailed)
    assert (event.rule, sent) == ("socks4-login", REJECTED)


@pytest.mark.parametrize(
    ("code", "host", "port", "expected"),
    [
        (Reply.SUCCEEDED, "192.0.2.7", 40000, "00 5a 9c 40 c0 00 02 07"),
        (Reply.SUCCEEDED, "2001:db8::2", 1, "00 5a 00 01 00 00 00 00"),
        *((code, "", 0, "00 5b 00 00 00 00 00 00") for code in Reply if code != Reply.SUCCEEDED),
    ],
)
def test_a_reply_is_granted_or_rejected(code: Reply, host: str, port: int, expected: str) -> None:
    connection = ServerConnection()
    connection.receive_data(TO_IPV4)
    connection.reply(code, host, port)
    assert connection.data_to_send() == bytes.fromhex(expected)
