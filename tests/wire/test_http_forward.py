"""wire.http_forward: what a Target sees of a plain request, and what a Client sees of the reply, at every split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksfusion import limits
from socksfusion.wire.http_forward import Exchange, ExchangeFailed
from socksfusion.wire.http_proxy import ServerConnection
from tests.wire.talking import bytewise

GET = b"GET http://a.example:81/x?y HTTP/1.1\r\nHost: other.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Exchanged:
    """A plain request that was opened, with all that came out of its exchange."""

    def __init__(self, request: bytes) -> None:
        way = ServerConnection()
        way.receive_data(request)
        exchange = way.exchange()
        assert exchange is not None
        self.exchange: Exchange = exchange
        self.to_target = self.to_client = b""
        if way.early_data:
            self.exchange.client_data(way.early_data)
        self.take()

    def take(self) -> None:
        self.to_target += self.exchange.to_target()
        self.to_client += self.exchange.to_client()

    def reply(self, *pieces: bytes) -> bytes:
        """What the Client was sent once the Target has sent ``pieces``, with all that came out before a failure."""
        try:
            for piece in pieces:
                self.exchange.target_data(piece)
        finally:
            self.take()
        return self.to_client


def head(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The first line, and the headers by their lower-case names, of which none stands twice."""
    first, *lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    headers = [line.lower().partition(b": ")[::2] for line in lines]
    assert len(dict(headers)) == len(headers)
    return first, dict(headers)


def body(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[2]


# -- the request --


def test_the_target_sees_origin_form_and_the_host_that_was_asked_for() -> None:
    sent = Exchanged(GET)
    assert sent.to_target == b"GET /x?y HTTP/1.1\r\nHost: a.example:81\r\nConnection: close\r\n\r\n"
    assert sent.exchange.request_done


def test_what_is_for_the_proxy_or_the_next_hop_is_not_passed_on() -> None:
    sent = Exchanged(
        b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, X-Hop , close\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAM\r\nAccept: */*\r\nAuthorization: Basic b3du\r\nX-End: 1\r\nX-End: 2\r\n\r\n"
    )
    assert sent.to_target == (
        b"GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nAuthorization: Basic b3du\r\nX-End: 1\r\nX-End: 2\r\n"
        b"Connection: close\r\n\r\n"
    )


def test_c9_the_proxys_password_never_reaches_a_target() -> None:
    way = ServerConnection()
    way.receive_data(GET[:-2] + b"pRoXy-AuThOrIzAtIoN: Basic YWdlbnQ6cmlnaHQ=\r\n\r\n")
    way.login_accepted()
    exchange = way.exchange()
    assert exchange is not None
    assert b"YWdlbnQ6cmlnaHQ" not in exchange.to_target()


@pytest.mark.parametrize(
    ("framing", "sent", "on_the_wire"),
    [
        (b"Content-Length: 5", b"hello", b"hello"),
        (b"Transfer-Encoding: chunked", b"5;x=y\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        (b"Connection: Content-Length\r\nContent-Length: 5", b"hello", b"hello"),
    ],
    ids=["length", "chunked", "length named as hop-by-hop"],
)
def test_a_body_is_framed_anew(framing: bytes, sent: bytes, on_the_wire: bytes) -> None:
    request = b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n" + framing + b"\r\n\r\n"
    exchanged = Exchanged(request + sent + b"GET http://b.example/ HTTP/1.1\r\n\r\n")
    assert body(exchanged.to_target) == on_the_wire
    assert exchanged.exchange.request_done
    _, headers = head(exchanged.to_target)
    assert (b"content-length" in headers) != (b"transfer-encoding" in headers)


def test_a_body_that_breaks_is_the_clients_fault() -> None:
    exchanged = Exchanged(b"POST http://a.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(ExchangeFailed) as raised:
        exchanged.exchange.client_data(b"nonsense\r\n")
    assert raised.value.clients_fault


def test_a_request_that_ends_within_its_body_is_the_clients_fault() -> None:
    exchanged = Exchanged(b"POST http://a.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
    with pytest.raises(ExchangeFailed) as raised:
        exchanged.exchange.client_data(b"")
    assert raised.value.clients_fault


@pytest.mark.parametrize(("version", "expected"), [(b"1.1", True), (b"1.0", False)])
def test_100_continue_passes_both_ways_but_not_to_http_1_0(version: bytes, expected: bool) -> None:
    request = b"POST http://a/ HTTP/" + version + b"\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    exchanged = Exchanged(request)
    assert (b"expect" in head(exchanged.to_target)[1]) is expected
    sent = exchanged.reply(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert sent == (b"HTTP/1.1 100 Continue\r\n\r\n" if expected else b"")
    assert not exchanged.exchange.reply_begun
    exchanged.exchange.client_data(b"hello")
    exchanged.take()
    assert exchanged.to_target.endswith(b"\r\n\r\nhello")


# -- the reply --


def test_the_reply_is_passed_on_with_its_reason_and_the_spelling_of_its_headers() -> None:
    sent = Exchanged(GET).reply(
        b"HTTP/1.1 299 Really Fine\r\nX-ODD: \xe9\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: X-Hop\r\n"
        b"X-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nhi"
    )
    assert sent == (
        b"HTTP/1.1 299 Really Fine\r\nX-ODD: \xe9\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\nhi"
    )


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Trailer: 1\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\nhi"


@pytest.mark.parametrize(
    ("reply", "ends"),
    [(OK, False), (CHUNKED, False), (TO_THE_END, True), (OK.replace(b"1.1", b"1.0"), False)],
    ids=["length", "chunked", "to the end", "of HTTP/1.0"],
)
def test_a_reply_is_framed_anew_for_either_version_at_every_split(reply: bytes, ends: bool) -> None:
    end = [b""] if ends else []
    new = Exchanged(GET).reply(reply, *end)
    _, headers = head(new)
    if headers.get(b"transfer-encoding") == b"chunked":
        assert body(new) == b"2\r\nhi\r\n0\r\n\r\n"
    else:
        assert (headers[b"content-length"], body(new)) == (b"2", b"hi")
    old = Exchanged(GET.replace(b"1.1", b"1.0")).reply(reply, *end)
    _, headers = head(old)
    assert b"transfer-encoding" not in headers
    assert body(old) == b"hi"
    bytewise_exchange = Exchanged(GET)
    cut = bytewise_exchange.reply(*bytewise(reply), *end)
    assert bytewise_exchange.exchange.reply_done
    assert (head(cut), body(cut).replace(b"1\r\nh\r\n1\r\ni\r\n", b"2\r\nhi\r\n")) == (head(new), body(new))


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_reply_without_a_body_ends_at_its_head(status: bytes) -> None:
    exchanged = Exchanged(GET)
    sent = exchanged.reply(b"HTTP/1.1 " + status + b"\r\nContent-Length: 10\r\n\r\nsmuggled")
    assert exchanged.exchange.reply_done
    assert body(sent) == b""


def test_a_reply_to_head_keeps_its_length_and_has_no_body() -> None:
    exchanged = Exchanged(GET.replace(b"GET", b"HEAD"))
    sent = exchanged.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsmuggled")
    assert exchanged.exchange.reply_done
    assert (head(sent)[1][b"content-length"], body(sent)) == (b"10", b"")


def test_what_comes_behind_a_reply_is_dropped() -> None:
    exchanged = Exchanged(GET)
    once = exchanged.reply(OK + OK)
    assert exchanged.reply(OK) == once
    assert once.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("reply", "begun"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * limits.HTTP_REPLY_HEAD_BYTES, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", True),
    ],
    ids=["none", "cut head", "ssh", "101", "two lengths", "long head", "cut body", "cut chunks", "broken chunks"],
)
def test_a_reply_that_breaks_is_the_targets_fault_and_is_not_ended(reply: bytes, begun: bool) -> None:
    exchanged = Exchanged(GET)
    with pytest.raises(ExchangeFailed) as raised:
        exchanged.reply(*([reply] if reply else []), b"")
    assert not raised.value.clients_fault
    assert (exchanged.exchange.reply_begun, exchanged.exchange.reply_done) == (begun, False)
    assert not exchanged.to_client.endswith(b"0\r\n\r\n")


REPLIES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.0 304 x\r\n",
                b"Content-Length: 3\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Connection: upgrade\r\nUpgrade: x\r\n",
                b"\r\n",
                b"3\r\nabc\r\n",
                b"0\r\n\r\n",
            ]
        ),
    ),
    max_size=8,
).map(b"".join)


@given(reply=REPLIES, cuts=st.lists(st.integers(0, 200), max_size=4), method=st.sampled_from([b"GET", b"HEAD"]))
def test_any_reply_at_any_split_gives_the_same_head_and_no_exception_but_ours(
    reply: bytes, cuts: list[int], method: bytes
) -> None:
    edges = [0, *sorted(min(cut, len(reply)) for cut in cuts), len(reply)]
    outcomes = []
    for pieces in ([reply], [reply[a:b] for a, b in pairwise(edges)]):
        exchanged = Exchanged(GET.replace(b"GET", method))
        try:
            exchanged.reply(*(piece for piece in pieces if piece), b"")
            failed = False
        except ExchangeFailed:
            failed = True
        outcomes.append((failed, exchanged.exchange.reply_done, exchanged.to_client.partition(b"\r\n\r\n")[0]))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] != outcomes[0][1]
