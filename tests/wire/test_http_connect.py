"""wire.http_connect: answers as real proxies give them (wish 14), cut at every byte, and what is no proxy."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksfusion import limits
from socksfusion.wire.http_connect import Challenge, ConnectClient, Event, LoginWanted, Opened, ProxyFailed, Refused

BASIC = (Challenge("basic", 'realm="a, b"'),)


def asked(host: str = "proxy.example", port: int = 443, authorization: str | None = None) -> ConnectClient:
    client = ConnectClient(host, port, "agent/1")
    client.ask(authorization)
    return client


def talk(*pieces: bytes) -> tuple[list[Event], bytes]:
    """(events, what came behind)."""
    client = asked()
    events = [event for piece in pieces if (event := client.receive_data(piece)) is not None]
    return events, client.rest


@pytest.mark.parametrize(
    ("host", "target"), [("proxy.example", "proxy.example:443"), ("2001:db8::1", "[2001:db8::1]:443")]
)
def test_the_request(host: str, target: str) -> None:
    assert asked(host, authorization="Basic QTpC").data_to_send().decode() == (
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: agent/1\r\nProxy-Connection: keep-alive\r\n"
        "Proxy-Authorization: Basic QTpC\r\n\r\n"
    )
    assert b"Proxy-Authorization" not in asked(host).data_to_send()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Fine\r\nVia: 1.1 a, 1.0 b\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
    ],
)
def test_every_split_of_a_success_gives_the_same(answer: bytes) -> None:
    whole = answer + b"\x16\x03tunnel"
    for cut in range(len(whole)):
        assert talk(whole[:cut], whole[cut:]) == ([Opened()], b"\x16\x03tunnel")
    client = asked()
    events = []
    for position in range(len(answer)):
        events += [client.receive_data(answer[position : position + 1])]
    assert events == [None] * (len(answer) - 1) + [Opened()]


@pytest.mark.parametrize(
    ("answer", "reusable"),
    [
        (b"HTTP/1.1 407 X\r\nContent-Length: 4\r\n%s\r\npage", True),
        (b"HTTP/1.1 407 X\r\nTransfer-Encoding: chunked\r\n%s\r\n4\r\npage\r\n0\r\n\r\n", True),
        (b"HTTP/1.0 407 X\r\nContent-Length: 4\r\nProxy-Connection: Keep-Alive\r\n%s\r\npage", True),
        (b"HTTP/1.1 407 X\r\nContent-Length: 4\r\nConnection: close\r\n%s\r\n", False),
        (b"HTTP/1.1 407 X\r\nContent-Length: 4\r\nProxy-Connection: close\r\n%s\r\n", False),
        (b"HTTP/1.0 407 X\r\nContent-Length: 4\r\n%s\r\n", False),
        (b"HTTP/1.0 407 X\r\n%s\r\n", False),
    ],
)
def test_a_wanted_login_is_told_when_the_next_request_may_go(answer: bytes, reusable: bool) -> None:
    whole = answer % b'Proxy-Authenticate: Basic realm="a, b"\r\n'
    assert talk(whole) == ([LoginWanted(BASIC, reusable)], b"")
    assert talk(*(whole[i : i + 1] for i in range(len(whole))))[0] == [LoginWanted(BASIC, reusable)]


def test_a_second_request_on_the_same_connection() -> None:
    client = asked()
    client.data_to_send()
    assert client.receive_data(b"HTTP/1.1 407 X\r\nContent-Length: 2\r\nProxy-Authenticate: NTLM\r\n\r\nno") is not None
    client.ask("NTLM one")
    assert b"Proxy-Authorization: NTLM one" in client.data_to_send()
    challenge = client.receive_data(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\nProxy-Authenticate: NTLM dHdv\r\n\r\n")
    assert challenge == LoginWanted((Challenge("ntlm", "dHdv"),), reusable=True)
    client.ask("NTLM three")
    assert client.receive_data(b"HTTP/1.0 200 OK\r\n\r\n") == Opened()


def test_a_page_that_goes_on_behind_its_length_is_no_answer_to_the_next_request() -> None:
    events, _ = talk(
        b"HTTP/1.1 407 X\r\nContent-Length: 2\r\nProxy-Authenticate: NTLM\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\n"
    )
    assert events == [LoginWanted((Challenge("ntlm", ""),), reusable=False)]


def test_a_page_without_end_is_not_read_to_its_end() -> None:
    client = asked()
    client.receive_data(b"HTTP/1.1 407 X\r\nContent-Length: 9999999\r\nProxy-Authenticate: NTLM\r\n\r\n")
    page, events = b"x" * 65536, []
    while not events:
        event = client.receive_data(page)
        events += [event] if event else []
    assert events == [LoginWanted((Challenge("ntlm", ""),), reusable=False)]


def test_a_page_that_ends_with_the_connection() -> None:
    client = asked()
    head = b"HTTP/1.1 407 X\r\nContent-Length: 9\r\nProxy-Authenticate: NTLM\r\n\r\n"
    assert client.receive_data(head) is None
    assert isinstance(client.receive_end(), ProxyFailed)
    client = asked()
    assert client.receive_data(b"HTTP/1.1 407 X\r\nProxy-Authenticate: NTLM\r\n\r\npage") is None
    assert client.receive_end() == LoginWanted((Challenge("ntlm", ""),), reusable=False)


@pytest.mark.parametrize(
    ("fields", "challenges"),
    [
        (["Negotiate", "NTLM", 'Basic realm="x"'], [("negotiate", ""), ("ntlm", ""), ("basic", 'realm="x"')]),
        (
            ['Negotiate, NTLM, Basic realm="x, Digest y", charset="UTF-8"'],
            [("negotiate", ""), ("ntlm", ""), ("basic", 'realm="x, Digest y"')],
        ),
        (["NTLM TlRMTVNT+/=="], [("ntlm", "TlRMTVNT+/==")]),
        (
            ['Digest realm="x", nonce="a==", qop="auth"', "BASIC realm=x"],
            [("digest", 'realm="x"'), ("basic", "realm=x")],
        ),
        (['Basic realm="never, ends'], [("basic", 'realm="never, ends')]),
        ([""], []),
        ([], []),
    ],
)
def test_challenges(fields: list[str], challenges: list[tuple[str, str]]) -> None:
    head = "".join(f"Proxy-Authenticate: {field}\r\n" for field in fields)
    events, _ = talk(f"HTTP/1.0 407 X\r\n{head}\r\n".encode())
    assert events == [LoginWanted(tuple(Challenge(*challenge) for challenge in challenges), reusable=False)]


def test_a_field_of_nothing_but_open_quotes_is_read_in_no_time() -> None:
    field = b'"\\' * 7000
    begun = time.process_time()
    events, _ = talk(b"HTTP/1.1 407 no\r\nConnection: close\r\nProxy-Authenticate: " + field + b"\r\n\r\n")
    assert events == [LoginWanted((), reusable=False)]
    assert time.process_time() - begun < 0.5  # each quote read to its end and given up: 1 s and more


@pytest.mark.parametrize("status", [301, 400, 403, 404, 500, 502, 503, 504])
def test_any_other_answer_is_a_refusal(status: int) -> None:
    assert talk(f"HTTP/1.1 {status} Not here\r\nContent-Length: 100\r\n\r\npart".encode())[0] == [
        Refused(status, "Not here")
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x05\x00",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 407 X\r\nContent-Length: two\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * limits.OUTBOUND_HEAD_BYTES,
    ],
)
def test_what_is_no_proxy(answer: bytes) -> None:
    client = asked()
    event = client.receive_data(answer) or client.receive_end()
    assert isinstance(event, ProxyFailed)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 O"])
def test_one_that_hangs_up(sent: bytes) -> None:
    client = asked()
    assert client.receive_data(sent or b"H") is None
    assert isinstance(client.receive_end(), ProxyFailed)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_raise_nothing(pieces: list[bytes]) -> None:
    client = asked()
    for piece in pieces:
        if piece and client.receive_data(piece) is not None:
            return
    assert isinstance(client.receive_end(), ProxyFailed | LoginWanted)
