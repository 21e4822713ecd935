"""wire.http_head: where a head ends, what it asks for, and what is refused before anybody reads it (row C7)."""

import h11
import pytest

from socksfusion import limits
from socksfusion.wire.http_head import HeadError, HeadScanner, connect_target, forward_target
from socksfusion.wire.socks5 import Address, AddressKind


def test_the_end_is_found_at_every_split() -> None:
    head = b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"
    data = head + b"body\n\r\n\r\n"
    for size in range(1, len(data) + 1):
        scanner = HeadScanner()
        ends = [scanner.end(data[:end]) for end in range(size, len(head), size)]
        assert ends == [None] * len(ends)
        assert scanner.end(data) == len(head)


@pytest.mark.parametrize("over", [0, 1])
def test_c7_a_head_may_have_16_kib(over: int) -> None:
    start, end = b"GET http://a/ HTTP/1.1\r\nX: ", b"\r\n\r\n"
    head = start + b"y" * (limits.HTTP_HEAD_BYTES - len(start) - len(end) + over) + end
    if not over:
        assert HeadScanner().end(head) == len(head) == 16 * 1024
        return
    with pytest.raises(HeadError) as raised:
        HeadScanner().end(head)
    assert raised.value.status == 431


@pytest.mark.parametrize(
    ("target", "address"),
    [
        (b"a.example:443", Address("a.example", 443, AddressKind.NAME)),
        (b"192.0.2.1:0", Address("192.0.2.1", 0, AddressKind.IPV4)),
        (b"[2001:DB8::1]:65535", Address("2001:db8::1", 65535, AddressKind.IPV6)),
        (b"my_host:1", Address("my_host", 1, AddressKind.NAME)),
        (b"127.1:80", Address("127.1", 80, AddressKind.NAME)),
        (b"a" * 253 + b":80", Address("a" * 253, 80, AddressKind.NAME)),
    ],
    ids=["name", "ipv4", "ipv6", "underscore", "short ipv4", "long name"],
)
def test_what_a_connect_asks_for(target: bytes, address: Address) -> None:
    assert connect_target(target) == address


@pytest.mark.parametrize(
    "target",
    [
        b"a.example",
        b"a.example:",
        b":443",
        b"a.example:65536",
        b"a.example:+1",
        b"a.example:443x",
        b"a.example:0000443",
        b"::1:443",
        b"[::1]",
        b"[::1%25eth0]:443",
        b"[a.example]:443",
        b"[127.0.0.1]:443",
        b"user@a.example:443",
        b"http://a.example:443",
        b"a%2eexample:443",
        b"a" * 254 + b":443",
        b"a/b:443",
    ],
)
def test_c1_what_a_connect_may_not_ask_for(target: bytes) -> None:
    with pytest.raises(HeadError) as raised:
        connect_target(target)
    assert (raised.value.status, raised.value.rule) == (400, "http-target")


def request(target: bytes, method: bytes = b"GET") -> h11.Request:
    return h11.Request(method=method, target=target, headers=[(b"Host", b"other")])


@pytest.mark.parametrize(
    ("asked", "host", "port", "authority", "origin"),
    [
        (b"http://a.example/x?y=http://b/", "a.example", 80, b"a.example", b"/x?y=http://b/"),
        (b"http://a.example", "a.example", 80, b"a.example", b"/"),
        (b"HTTP://a.example:8080?q", "a.example", 8080, b"a.example:8080", b"/?q"),
        (b"http://[2001:db8::1]:81/", "2001:db8::1", 81, b"[2001:db8::1]:81", b"/"),
        (b"http://[2001:db8::1]/", "2001:db8::1", 80, b"[2001:db8::1]", b"/"),
        (b"http://a.example:/", "a.example", 80, b"a.example:", b"/"),
        (b"http://a.example/http://user@b.example/", "a.example", 80, b"a.example", b"/http://user@b.example/"),
    ],
)
def test_what_a_plain_request_asks_for(asked: bytes, host: str, port: int, authority: bytes, origin: bytes) -> None:
    target = forward_target(request(asked))
    assert (target.address.host, target.address.port) == (host, port)
    assert (target.authority, target.origin_form) == (authority, origin)


def test_options_of_a_whole_server() -> None:
    assert forward_target(request(b"http://a.example", b"OPTIONS")).origin_form == b"*"
    assert forward_target(request(b"http://a.example/", b"OPTIONS")).origin_form == b"/"


@pytest.mark.parametrize(
    "target",
    [
        b"https://a.example/",
        b"ftp://a.example/",
        b"a.example",
        b"a.example:80",
        b"http:///x",
        b"http://user:password@a.example/",
        b"http://a.example/#x",
        b"http://a.example#x",
        b"http://a.example\\@b.example/",
        b"http://a.example:80:80/",
        b"http:a.example/",
    ],
)
def test_what_a_plain_request_may_not_ask_for(target: bytes) -> None:
    with pytest.raises(HeadError) as raised:
        forward_target(request(target))
    assert (raised.value.status, raised.value.rule) == (400, "http-target")
    assert "password" not in raised.value.why.replace("user name or password", "")
