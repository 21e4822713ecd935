"""agent.outbound.settings: which proxy is meant, by URL, option or variables, and that no text shows its login."""

import pytest

from socksfusion.agent.outbound.settings import OutboundProxy, WayOut, parse_option, parse_url, way_out
from socksfusion.errors import UsageError

SECRET = "pass:w@rd"
ENCODED = "pass%3Aw%40rd"


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.example:3128", OutboundProxy("http", "proxy.example", 3128)),
        ("http://proxy.example", OutboundProxy("http", "proxy.example", 80)),
        ("HTTP://Proxy.Example:3128/", OutboundProxy("http", "proxy.example", 3128)),
        ("proxy.example:3128", OutboundProxy("http", "proxy.example", 3128)),
        ("192.0.2.1:8080", OutboundProxy("http", "192.0.2.1", 8080)),
        ("http://[2001:db8::1]:8080", OutboundProxy("http", "2001:db8::1", 8080)),
        ("http://[2001:db8::1]", OutboundProxy("http", "2001:db8::1", 80)),
        ("socks5://proxy.example", OutboundProxy("socks5", "proxy.example", 1080)),
        ("socks5h://proxy.example:9", OutboundProxy("socks5", "proxy.example", 9)),
        ("http://alice@proxy:1", OutboundProxy("http", "proxy", 1, "alice")),
        (f"http://alice:{ENCODED}@proxy:1", OutboundProxy("http", "proxy", 1, "alice", SECRET)),
        (f"http://alice:{SECRET}@proxy:1", OutboundProxy("http", "proxy", 1, "alice", SECRET)),
        ("http://alice:@proxy:1", OutboundProxy("http", "proxy", 1, "alice", "")),
        ("http://CORP\\alice:pw@proxy:1", OutboundProxy("http", "proxy", 1, "CORP\\alice", "pw")),
        ("http://CORP%5Calice:pw@proxy:1", OutboundProxy("http", "proxy", 1, "CORP\\alice", "pw")),
        ("http://alice%40corp.example:pw@proxy:1", OutboundProxy("http", "proxy", 1, "alice@corp.example", "pw")),
        ("alice:pw@proxy:1", OutboundProxy("http", "proxy", 1, "alice", "pw")),
    ],
)
def test_urls(text: str, proxy: OutboundProxy) -> None:
    assert parse_url(text) == proxy


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("https://u:hush@proxy:3128", "kind 'https' is not supported"),
        ("socks4://u:hush@proxy", "kind 'socks4' is not supported"),
        ("http://u:hush@proxy:3128/path", "without anything after the port"),
        ("http://u:hush@proxy:3128?x", "without anything after the port"),
        ("http://u:hush@proxy:port", "not HOST:PORT"),
        ("http://u:hush@proxy:0", "not HOST:PORT"),
        ("http://u:hush@proxy:70000", "not HOST:PORT"),
        ("http://u:hush@2001:db8::1", "not HOST:PORT"),
        ("http://u:hush@a b", "neither a host name"),
        ("http://u:hush@", "neither a host name"),
    ],
)
def test_bad_urls_are_refused_without_their_login(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as raised:
        parse_url(text)
    assert "hush" not in str(raised.value)


def test_nothing_shows_the_login() -> None:
    proxy = parse_url("http://alice:hush@proxy:1")
    for shown in (repr(proxy), str(proxy), proxy.name, repr(WayOut(proxy))):
        assert "alice" not in shown
        assert "hush" not in shown


def test_the_option_takes_no_password() -> None:
    assert parse_option("none") == "none"
    assert parse_option("http://alice@proxy:1") == OutboundProxy("http", "proxy", 1, "alice")
    for text in ("http://alice:hush@proxy:1", "http://alice:@proxy:1"):
        with pytest.raises(UsageError, match="--outbound-proxy-password-file") as raised:
            parse_option(text)
        assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTP_PROXY": "a:1", "http_proxy": "a:1"}, None),
        ({"HTTPS_PROXY": "a:1"}, "http://a:1"),
        ({"https_proxy": "a:1", "HTTPS_PROXY": "b:1"}, "http://a:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "b:1", "all_proxy": "c:1"}, "http://b:1"),
        ({"all_proxy": "socks5://c", "ALL_PROXY": "d:1"}, "socks5://c:1080"),
        ({"ALL_PROXY": "d:1"}, "http://d:1"),
    ],
)
def test_variables(environment: dict[str, str], name: str | None) -> None:
    proxy = way_out(None, None, environment).to("proxy.example", 443)
    assert (proxy.name if proxy else None) == name


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_exceptions_count_beside_variables_alone(name: str) -> None:
    environment = {"HTTPS_PROXY": "a:1", name: "internal.example"}
    out = way_out(None, None, environment)
    assert out.to("proxy.internal.example", 443) is None
    assert out.to("proxy.example", 443) is not None
    assert way_out(parse_url("b:1"), None, environment).to("proxy.internal.example", 443) is not None
    assert way_out("none", None, environment).to("proxy.example", 443) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_variables_never_count_for_this_machine(host: str) -> None:
    assert way_out(None, None, {"HTTPS_PROXY": "a:1"}).to(host, 443) is None
    assert way_out(parse_url("a:1"), None, {}).to(host, 443) is not None


def test_a_variable_that_cant_be_used_is_named_without_its_login() -> None:
    with pytest.raises(UsageError, match=r"variable HTTPS_PROXY.*not supported.*--outbound-proxy none") as raised:
        way_out(None, None, {"HTTPS_PROXY": "https://alice:hush@proxy:1"})
    assert "hush" not in str(raised.value)


def test_the_password_of_the_file() -> None:
    option = way_out(parse_url("http://alice@b:1"), SECRET, {}).proxy
    variable = way_out(None, SECRET, {"HTTPS_PROXY": "http://alice:old@b:1"}).proxy
    assert option == variable == OutboundProxy("http", "b", 1, "alice", SECRET)
    for useless in (parse_url("b:1"), "none", None):
        with pytest.raises(UsageError):
            way_out(useless, SECRET, {})  # type: ignore[arg-type]
