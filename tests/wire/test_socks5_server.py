"""wire.socks5_server: RFC 1928 and 1929, whole, cut at every byte, and broken in every way (rows C1, C2, C3)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksfusion import limits
from socksfusion.wire.socks5 import Address, AddressKind, Command, Reply
from socksfusion.wire.socks5_server import ServerConnection
from socksfusion.wire.way_in import GreetingReceived, LoginReceived, ProtocolFailed, RequestReceived
from tests.wire.talking import bytewise, talk

GREETING = bytes.fromhex("05 01 00")
GREETING_OF_TWO = bytes.fromhex("05 02 01 00")
WITH_LOGIN = bytes.fromhex("05 02 00 02")
LOGIN = b"\x01\x06branch\x05right"
WRONG_LOGIN = b"\x01\x06branch\x05wrong"

# RFC 1928, section 4: VER CMD RSV ATYP DST.ADDR DST.PORT
TO_IPV4 = bytes.fromhex("05 01 00 01 c0 00 02 01 00 50")
TO_NAME = bytes.fromhex("05 01 00 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 01 bb")
TO_IPV6 = bytes.fromhex("05 01 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 ff ff")
WANTED = {
    TO_IPV4: Address("192.0.2.1", 80, AddressKind.IPV4),
    TO_NAME: Address("example.com", 443, AddressKind.NAME),
    TO_IPV6: Address("2001:db8::1", 65535, AddressKind.IPV6),
}


def to_name(name: bytes) -> bytes:
    return b"\x05\x01\x00\x03" + bytes([len(name)]) + name + b"\x00\x50"


@pytest.mark.parametrize("request_bytes", WANTED, ids=["ipv4", "name", "ipv6"])
def test_a_request_gives_its_address_as_asked(request_bytes: bytes) -> None:
    events, sent, early = talk(GREETING, request_bytes)
    assert events == [GreetingReceived(b"\x00"), RequestReceived(Command.CONNECT, WANTED[request_bytes])]
    assert sent == b"\x05\x00"
    assert early == b""


def test_the_method_is_answered_before_the_request_comes() -> None:
    assert talk(GREETING_OF_TWO) == ([GreetingReceived(b"\x01\x00")], b"\x05\x00", b"")


@pytest.mark.parametrize("request_bytes", WANTED, ids=["ipv4", "name", "ipv6"])
@pytest.mark.parametrize("early", [b"", b"\x16\x03\x01 early"])
def test_c3_every_split_gives_the_same(request_bytes: bytes, early: bytes) -> None:
    whole = WITH_LOGIN + LOGIN + request_bytes + early
    expected = talk(whole)
    assert expected[2] == early
    assert talk(*bytewise(whole)) == expected
    for first in range(len(whole) + 1):
        for second in range(first, len(whole) + 1):
            assert talk(whole[:first], whole[first:second], whole[second:]) == expected


@pytest.mark.parametrize("cut", range(len(GREETING + TO_NAME)))
def test_c3_a_truncated_negotiation_asks_for_nothing(cut: int) -> None:
    events, _, _ = talk((GREETING + TO_NAME)[:cut])
    assert all(isinstance(event, GreetingReceived) for event in events)


@pytest.mark.parametrize(
    ("code", "host", "port", "expected"),
    [
        (Reply.SUCCEEDED, "192.0.2.7", 40000, "05 00 00 01 c0 00 02 07 9c 40"),
        (Reply.SUCCEEDED, "2001:db8::2", 1, "05 00 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02 00 01"),
        (Reply.REFUSED, "", 0, "05 05 00 01 00 00 00 00 00 00"),
        (Reply.TTL_EXPIRED, "not an address", 0, "05 06 00 01 00 00 00 00 00 00"),
        (Reply.GENERAL_FAILURE, "nul\0byte", 0, "05 01 00 01 00 00 00 00 00 00"),
        (Reply.GENERAL_FAILURE, "lone\udc80surrogate", 0, "05 01 00 01 00 00 00 00 00 00"),
    ],
)
def test_a_reply_carries_code_and_bound_address(code: Reply, host: str, port: int, expected: str) -> None:
    connection = ServerConnection()
    connection.receive_data(GREETING + TO_IPV4)
    assert connection.data_to_send() == b"\x05\x00"
    connection.reply(code, host, port)
    assert connection.data_to_send() == bytes.fromhex(expected)
    assert connection.data_to_send() == b""


def test_early_data_is_kept_and_its_room_told() -> None:
    connection = ServerConnection()
    connection.receive_data(GREETING + TO_IPV4 + b"abc")
    assert connection.early_room == limits.EARLY_DATA_BYTES - 3
    connection.receive_data(bytes(limits.EARLY_DATA_BYTES - 3))
    assert connection.early_room == 0
    assert connection.early_data == b"abc" + bytes(limits.EARLY_DATA_BYTES - 3)


@pytest.mark.parametrize(
    ("sent", "rule", "answer"),
    [
        ("05 01 01", "socks-method", "05 ff"),
        ("05 02 01 80", "socks-method", "05 ff"),
        ("05 00", "socks-method", "05 ff"),
        ("05 01 00 05 02 00 01 c0 00 02 01 00 50", "socks-command", "05 00 05 07 00 01 00 00 00 00 00 00"),
        ("05 01 00 05 f0 00 01 c0 00 02 01 00 50", "socks-command", "05 00 05 07 00 01 00 00 00 00 00 00"),
        ("05 01 00 05 01 00 02", "socks-address", "05 00 05 08 00 01 00 00 00 00 00 00"),
        ("05 01 00 05 01 01 01 c0 00 02 01 00 50", "socks-reserved", "05 00 05 01 00 01 00 00 00 00 00 00"),
        ("05 01 00 01 03 66 6f 6f 03 62 61 72", "socks-order", "05 00"),
        ("05 01 02 05 01 00 01 c0 00 02 01 00 50", "socks-order", "05 02"),
        ("05 01 00 05 01 00", None, "05 00"),
    ],
    ids=["gssapi", "none-of-2", "no-method", "bind", "resolve", "atyp", "rsv", "unasked login", "no login", "cut"],
)
def test_c2_what_is_out_of_order_or_not_served_is_refused_at_every_split(
    sent: str, rule: str | None, answer: str
) -> None:
    data = bytes.fromhex(sent)
    whole = talk(data)
    assert [event.rule for event in whole[0] if isinstance(event, ProtocolFailed)] == ([rule] if rule else [])
    assert not any(isinstance(event, RequestReceived) for event in whole[0])
    assert whole[1] == bytes.fromhex(answer)
    assert talk(*bytewise(data)) == whole


def test_a_login_is_asked_for_where_it_is_offered_and_answered_before_the_request() -> None:
    connection = ServerConnection()
    assert connection.receive_data(WITH_LOGIN) == [GreetingReceived(b"\x00\x02")]
    assert connection.data_to_send() == b"\x05\x02"
    assert connection.receive_data(LOGIN + TO_IPV4 + b"early") == [LoginReceived(b"branch", b"right")]
    assert connection.data_to_send() == b""
    assert connection.login_accepted() == [RequestReceived(Command.CONNECT, WANTED[TO_IPV4])]
    assert (connection.data_to_send(), connection.early_data) == (b"\x01\x00", b"early")


@pytest.mark.parametrize("length", [0, 1, 255])
def test_user_name_and_password_have_up_to_255_bytes(length: int) -> None:
    user, password = b"u" * length, b"p" * (255 - length)
    login = bytes((1, len(user))) + user + bytes((len(password),)) + password
    assert talk(WITH_LOGIN + login)[0][1] == LoginReceived(user, password)


def test_c2_after_a_wrong_login_nothing_is_read() -> None:
    events, sent, early = talk(WITH_LOGIN + WRONG_LOGIN + TO_IPV4, TO_IPV4, LOGIN)
    assert events[-1] == LoginReceived(b"branch", b"wrong")
    assert (sent, early) == (b"\x05\x02\x01\x01", b"")


def test_what_comes_while_a_login_is_judged_is_kept_and_bounded() -> None:
    connection = ServerConnection()
    connection.receive_data(WITH_LOGIN + LOGIN)
    assert connection.receive_data(TO_IPV4) == []
    assert connection.early_room == limits.EARLY_DATA_BYTES - len(TO_IPV4)


@pytest.mark.parametrize(
    ("greeting", "answer"), [(GREETING, "05 ff"), (GREETING_OF_TWO, "05 ff"), (WITH_LOGIN, "05 02")]
)
def test_f2_where_a_login_is_required_nothing_else_is_chosen(greeting: bytes, answer: str) -> None:
    events, sent, _ = talk(greeting, TO_IPV4, login_required=True)
    assert sent == bytes.fromhex(answer)
    assert not any(isinstance(event, RequestReceived) for event in events)


def test_c9_a_password_is_never_shown() -> None:
    assert "right" not in repr(LoginReceived(b"branch", b"right"))


def test_udp_associate_is_a_request() -> None:
    events, _, _ = talk(GREETING, b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00")
    assert events[-1] == RequestReceived(Command.UDP_ASSOCIATE, Address("0.0.0.0", 0, AddressKind.IPV4))


def test_c2_the_request_before_the_greeting_is_no_request() -> None:
    events, _, _ = talk(TO_IPV4 + GREETING)
    assert not any(isinstance(event, RequestReceived) for event in events)
    assert isinstance(events[-1], ProtocolFailed)


@pytest.mark.parametrize("length", [1, 253])
def test_c1_names_up_to_253_bytes_pass(length: int) -> None:
    events, _, _ = talk(GREETING, to_name(b"a" * length))
    assert events[-1] == RequestReceived(Command.CONNECT, Address("a" * length, 80, AddressKind.NAME))


@pytest.mark.parametrize(
    "name", [b"", b"a" * 254, b"a" * 255, b"\0", b"good.example\0.evil.example", b"\xff\xfe", b"\xed\xb2\x80"]
)
def test_c1_other_names_are_answered_01(name: bytes) -> None:
    events, sent, _ = talk(GREETING, to_name(name))
    assert isinstance(events[-1], ProtocolFailed)
    assert events[-1].rule == "socks-host"
    assert sent == b"\x05\x00" + bytes.fromhex("05 01 00 01 00 00 00 00 00 00")


@pytest.mark.parametrize("name", ["127.1", "0x7f000001", "[::1]", "169.254.169.254", "bücher.example", "a b\x1b[31m"])
def test_a_name_is_passed_on_as_asked(name: str) -> None:
    events, _, _ = talk(GREETING, to_name(name.encode()))
    assert events[-1] == RequestReceived(Command.CONNECT, Address(name, 80, AddressKind.NAME))


def test_after_a_failure_nothing_is_read() -> None:
    events, sent, early = talk(b"\x05\x00", GREETING, TO_IPV4, b"more")
    assert len(events) == 1
    assert (sent, early) == (b"\x05\xff", b"")


mostly_socks = st.one_of(
    st.builds(bytes.__add__, st.just(b"\x05"), st.binary(max_size=300)),
    st.builds(bytes.__add__, st.just(GREETING), st.binary(max_size=300)),
    st.builds(bytes.__add__, st.just(WITH_LOGIN + b"\x01"), st.binary(max_size=300)),
    st.builds(bytes.__add__, st.just(WITH_LOGIN + LOGIN), st.binary(max_size=300)),
    st.builds(bytes.__add__, st.just(GREETING + b"\x05\x01\x00"), st.binary(max_size=300)),
)


@given(data=mostly_socks, cuts=st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_at_any_split_give_the_same_events_and_no_exception(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    expected = talk(data)
    assert talk(*(data[a:b] for a, b in pairwise(edges))) == expected
    assert sum(isinstance(event, RequestReceived | ProtocolFailed) for event in expected[0]) <= 1
