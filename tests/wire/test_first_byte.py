"""wire.first_byte: which protocol a Client speaks; and of all of them, that cuts and garbage change nothing (C3)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksfusion.wire import http_proxy, socks4, socks5_server
from socksfusion.wire.first_byte import NoWayIn, way_in
from socksfusion.wire.way_in import GreetingReceived, LoginReceived, ProtocolFailed, RequestReceived
from tests.wire.talking import bytewise, talk

WAYS = {
    b"\x05": socks5_server.ServerConnection,
    b"\x04": socks4.ServerConnection,
    b"G": http_proxy.ServerConnection,
    b"C": http_proxy.ServerConnection,
    b"p": http_proxy.ServerConnection,
}


@pytest.mark.parametrize("first", WAYS, ids=repr)
def test_the_first_byte_tells_the_protocol(first: bytes) -> None:
    assert type(way_in(first[0], login_required=False)) is WAYS[first]


@pytest.mark.parametrize(
    ("first", "rule", "words"),
    [(0x16, "client-tls", "has no TLS"), (0x00, "client-protocol", "0x00"), (0xC3, "client-protocol", "0xc3")],
)
def test_other_first_bytes_are_named(first: int, rule: str, words: str) -> None:
    with pytest.raises(NoWayIn, match=words) as raised:
        way_in(first, login_required=False)
    assert raised.value.rule == rule


def test_an_ssh_banner_is_named_and_gets_no_answer() -> None:
    banner = b"SSH-2.0-OpenSSH_9.2\r\n"
    (event,), sent, early = whole = talk(banner)
    assert isinstance(event, ProtocolFailed)
    assert (event.rule, "SSH banner" in event.why, sent, early) == ("client-protocol", True, b"", b"")
    assert talk(*bytewise(banner)) == whole


BEGINNINGS = st.sampled_from(
    [
        b"",
        b"\x05\x01\x00",
        b"\x05\x02\x00\x02\x01",
        b"\x05\x01\x02\x01\x01a\x05right\x05\x01\x00",
        b"\x04\x01\x00\x50",
        b"\x04\x01\x00\x50\x00\x00\x00\x01",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n",
        b"CONNECT ",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n",
        b"POST http://a/ HTTP/1.0\r\nContent-Length: 3\r\nProxy-Authorization: Basic YTpyaWdodA==\r\n",
        b"GET http://",
    ]
)
MIDDLES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n", b" HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked\r\n"]),
    ),
    max_size=6,
).map(b"".join)


@given(start=BEGINNINGS, rest=MIDDLES, cuts=st.lists(st.integers(0, 300), max_size=5), login_required=st.booleans())
def test_any_bytes_at_any_split_give_the_same_and_no_exception(
    start: bytes, rest: bytes, cuts: list[int], login_required: bool
) -> None:
    data = start + rest
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    expected = talk(data, login_required=login_required)
    assert talk(*(data[a:b] for a, b in pairwise(edges)), login_required=login_required) == expected
    events = expected[0]
    assert sum(isinstance(event, RequestReceived | ProtocolFailed) for event in events) <= 1
    if login_required and any(isinstance(event, RequestReceived) for event in events):
        assert any(isinstance(event, LoginReceived) and event.password == b"right" for event in events)
    assert all(
        isinstance(event, str | GreetingReceived | LoginReceived | RequestReceived | ProtocolFailed) for event in events
    )
