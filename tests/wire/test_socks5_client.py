"""wire.socks5_client: bytes of RFC 1928 and 1929, cut at every byte, and servers that break them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksfusion.wire.socks5_client import (
    ClientConnection,
    Connected,
    Event,
    Login,
    LoginRefused,
    Refused,
    ServerFailed,
)

LOGIN = Login("scanner@acme", "pass")
# RFC 1928, section 6: VER REP RSV ATYP BND.ADDR BND.PORT
TO_IPV4 = bytes.fromhex("05 00 00 01 c0 00 02 09 c3 50")
TO_IPV6 = bytes.fromhex("05 00 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 50")
TO_NAME = bytes.fromhex("05 00 00 03 04 68 6f 73 74 00 50")


def talk(client: ClientConnection, *pieces: bytes) -> tuple[list[Event], bytes, bytes]:
    """(events, what was sent, what came behind the reply)."""
    events, sent = [], client.data_to_send()
    for piece in pieces:
        event = client.receive_data(piece)
        events += [event] if event is not None else []
        sent += client.data_to_send()
    return events, sent, client.rest


def wants(login: Login | None = None, *, insist: bool = True) -> ClientConnection:
    return ClientConnection("192.0.2.1", 80, login, insist=insist)


@pytest.mark.parametrize(
    ("host", "field"),
    [
        ("192.0.2.1", "01 c0 00 02 01"),
        ("2001:db8::1", "04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01"),
        ("example.com", "03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d"),
        ("127.1", "03 05 31 32 37 2e 31"),
    ],
)
def test_without_a_login(host: str, field: str) -> None:
    events, sent, rest = talk(ClientConnection(host, 443), b"\x05\x00", TO_IPV4)
    assert sent == bytes.fromhex(f"05 01 00  05 01 00 {field} 01 bb")
    assert events == [Connected("192.0.2.9", 50000)]
    assert rest == b""


def test_with_a_login_nothing_else_is_offered() -> None:
    events, sent, _ = talk(wants(LOGIN), b"\x05\x02", b"\x01\x00", TO_IPV4)
    login = b"\x01\x0cscanner@acme\x04pass"
    assert sent == b"\x05\x01\x02" + login + bytes.fromhex("05 01 00 01 c0 00 02 01 00 50")
    assert events == [Connected("192.0.2.9", 50000)]


@pytest.mark.parametrize("chosen", [b"\x05\x00", b"\x05\x01"])
def test_a_server_that_ignores_the_login_is_not_asked(chosen: bytes) -> None:
    events, sent, _ = talk(wants(LOGIN), chosen, TO_IPV4)
    assert [type(event) for event in events] == [ServerFailed]
    assert sent == b"\x05\x01\x02"


def test_who_does_not_insist_does_without() -> None:
    events, sent, _ = talk(wants(LOGIN, insist=False), b"\x05\x00", TO_IPV4)
    assert sent == bytes.fromhex("05 02 00 02  05 01 00 01 c0 00 02 01 00 50")
    assert events == [Connected("192.0.2.9", 50000)]


@pytest.mark.parametrize(
    ("reply", "connected"),
    [
        (TO_IPV4, Connected("192.0.2.9", 50000)),
        (TO_IPV6, Connected("2001:db8::1", 80)),
        (TO_NAME, Connected("host", 80)),
    ],
    ids=["ipv4", "ipv6", "name"],
)
def test_every_split_gives_the_same(reply: bytes, connected: Connected) -> None:
    whole = b"\x05\x02\x01\x00" + reply + b"220 ready\r\n"
    expected = talk(wants(LOGIN), whole)
    assert (expected[0], expected[2]) == ([connected], b"220 ready\r\n")
    assert talk(wants(LOGIN), *(whole[i : i + 1] for i in range(len(whole)))) == expected
    for cut in range(len(whole)):
        assert talk(wants(LOGIN), whole[:cut], whole[cut:]) == expected


@pytest.mark.parametrize("code", [*range(1, 256)])
def test_a_refusal_needs_no_more_than_its_code(code: int) -> None:
    assert talk(wants(), b"\x05\x00\x05", bytes([code]))[0] == [Refused(code)]


@pytest.mark.parametrize(
    ("login", "answer"),
    [(None, b"\x05\xff"), (LOGIN, b"\x05\xff"), (LOGIN, b"\x05\x02\x01\x01"), (LOGIN, b"\x05\x02\x05\x09")],
)
def test_who_is_not_let_in_reads_so(login: Login | None, answer: bytes) -> None:
    events, sent, _ = talk(wants(login), answer)
    assert [type(event) for event in events] == [LoginRefused]
    assert b"\x05\x01\x00\x01" not in sent


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x04\x00",
        b"\x05\x02\x07\x00",
        b"\x05\x02\x01\x00\x04\x00",
        b"\x05\x02\x01\x00\x05\x00\x00\x02\x00\x00\x00",
    ],
)
def test_a_server_that_breaks_the_protocol(answer: bytes) -> None:
    assert [type(event) for event in talk(wants(LOGIN), answer)[0]] == [ServerFailed]


@given(st.lists(st.binary(max_size=40), max_size=6), st.sampled_from([None, LOGIN]))
def test_any_bytes_give_at_most_one_event(pieces: list[bytes], login: Login | None) -> None:
    assert len(talk(wants(login), *pieces)[0]) <= 1


@pytest.mark.parametrize("host", ["", "a" * 254, "a\0b"])
def test_a_host_that_cant_be_asked_for(host: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        ClientConnection(host, 80)


@pytest.mark.parametrize(("user", "password"), [("", "p"), ("u", ""), ("u" * 256, "p"), ("u", "é" * 128)])
def test_a_login_that_has_no_bytes(user: str, password: str) -> None:
    with pytest.raises(ValueError, match="255 bytes"):
        Login(user, password)


def test_a_login_shows_nothing_of_itself() -> None:
    assert repr(LOGIN) == "Login()"
