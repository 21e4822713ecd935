import pytest

from socksfusion.errors import UsageError
from socksfusion.identity.names import (
    check_agent_name,
    check_host,
    format_proxies,
    format_proxy,
    parse_proxies,
    parse_proxy,
)


@pytest.mark.parametrize("name", ["a", "A9", "acme-2.example_x", "x" * 64])
def test_agent_names(name: str) -> None:
    assert check_agent_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "x" * 65, "-a", ".a", "..", "a/b", "a b", "a\n", "a\0b", "\ud800", "é", "a'; DROP TABLE agents; --", "a@b"],
)
def test_no_agent_names(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_agent_name(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("host", "usual"),
    [
        ("Proxy.Example.org", "proxy.example.org"),
        ("proxy.example.org.", "proxy.example.org"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        (".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61]), ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])),
    ],
)
def test_hosts(host: str, usual: str) -> None:
    assert check_host(host) == usual


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "-a.example",
        "a-.example",
        "a_b",
        "a b",
        "*.example.org",
        "bücher.example",
        "a" * 64,
        ".".join(["a" * 63] * 4),
        "127.1",
        "0x7f.1",
        "2130706433",
        "1.2.3.256",
        "[::1]",
        "a\0",
        "\ud800",
        "a\n",
    ],
)
def test_no_hosts(host: str) -> None:
    with pytest.raises(UsageError):
        check_host(host)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("proxy.example.org", "proxy.example.org", 443),
        ("proxy.example.org:8443", "proxy.example.org", 8443),
        ("192.0.2.1:1", "192.0.2.1", 1),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ("[2001:db8::1]", "2001:db8::1", 443),
        ("2001:db8::1", "2001:db8::1", 443),
    ],
)
def test_proxy_addresses(text: str, host: str, port: int) -> None:
    assert parse_proxy(text) == (host, port)
    assert parse_proxy(format_proxy(host, port)) == (host, port)


@pytest.mark.parametrize(
    "text", ["", ":443", "a:", "a:0", "a:65536", "a:-1", "a:+1", "a:1 ", "a:٤", "[::1", "[a]b", "a:b:c"]
)
def test_no_proxy_addresses(text: str) -> None:
    with pytest.raises(UsageError):
        parse_proxy(text)


def test_several_proxies() -> None:
    assert parse_proxies("a.example, [2001:db8::1]:8443,b:1") == (("a.example", 443), ("2001:db8::1", 8443), ("b", 1))
    assert format_proxies(parse_proxies("a.example, [2001:db8::1]:8443")) == "a.example:443,[2001:db8::1]:8443"
    for text in ("", "a,,b", "a,"):
        with pytest.raises(UsageError):
            parse_proxies(text)
