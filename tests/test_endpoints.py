"""Whom an endpoint string serves is judged as Twisted reads the string."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    _WrapperServerEndpoint,
    serverFromString,
)
from twisted.internet.testing import MemoryReactor

from socksfusion import endpoints, limits

PARTS = st.sampled_from(
    [
        "tcp",
        "tcp6",
        "haproxy",
        "ssl",
        "1080",
        "interface",
        "backlog",
        "127.0.0.1",
        "0.0.0.0",
        "\\:\\:1",
        "\\:\\:",
        ":",
        "=",
        "\\",
        "",
        "5",
    ]
)


@given(
    st.builds(
        str.__add__,
        st.sampled_from(["", "haproxy:", "tcp:1080:", "haproxy:tcp:1080:", "haproxy:tcp6:1080:interface="]),
        st.lists(PARTS, max_size=9).map("".join),
    )
)
def test_local_means_that_twisted_binds_loopback(text: str) -> None:
    try:
        local = endpoints.reaches_this_host_only(endpoints.checked(text))
    except endpoints.EndpointError:
        return
    endpoint = serverFromString(None, text)
    while isinstance(endpoint, _WrapperServerEndpoint):
        endpoint = endpoint._wrappedEndpoint
    assert isinstance(endpoint, TCP4ServerEndpoint | TCP6ServerEndpoint)
    assert local == (endpoint._interface in ("127.0.0.1", "::1"))


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("tcp:1:interface=127.255.0.9", True),
        ("tcp:1:interface=192.0.2.1", False),
        ("tcp:1:interface=169.254.1.1", False),
        ("tcp6:1:interface=\\:\\:ffff\\:127.0.0.1", True),
        ("tcp6:1:interface=\\:\\:ffff\\:192.0.2.1", False),
        ("unix:/tmp/s", True),
        ("ssl:1:interface=127.0.0.1:privateKey=k", True),
        ("ssl:1:privateKey=k", False),
        ("ssl:1:interface=192.0.2.1", False),
        ("haproxy:tcp:1:interface=127.0.0.1", True),
        ("haproxy:tcp:1", False),
        ("haproxy:ssl:1:interface=127.0.0.1", True),
        ("haproxy:unix:/tmp/s", True),
        ("haproxy:tcp6:1:interface=\\:\\:1", True),
    ],
)
def test_judged(text: str, local: bool) -> None:
    assert endpoints.reaches_this_host_only(text) is local


@pytest.mark.parametrize(
    "text", ["tcp:1:interface=127.1", "tcp:1:interface=2130706433", "tcp:1:interface=lo", "fd:3", "haproxy:fd:3"]
)
def test_what_cant_be_judged_is_an_error(text: str) -> None:
    with pytest.raises(endpoints.EndpointError):
        endpoints.reaches_this_host_only(text)


@pytest.mark.parametrize(("address", "local"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_a_systemd_socket_is_judged_by_itself(monkeypatch: pytest.MonkeyPatch, address: str, local: bool) -> None:
    with socket.socket() as handed_over:
        handed_over.bind((address, 0))
        from twisted.internet.endpoints import _SystemdParser
        from twisted.python.systemd import ListenFDs

        monkeypatch.setattr(_SystemdParser, "_sddaemon", ListenFDs([handed_over.fileno()], ["clients"]))
        assert endpoints.reaches_this_host_only("systemd:domain=INET:index=0") is local
        assert endpoints.reaches_this_host_only("systemd:domain=INET:name=clients") is local
        assert handed_over.fileno() >= 0


def test_a_listener_gets_our_backlog_unless_it_names_one() -> None:
    reactor = MemoryReactor()
    endpoints.server(reactor, "tcp:443").listen(None)
    endpoints.server(reactor, "tcp:444:backlog=7").listen(None)
    endpoints.server(reactor, "haproxy:tcp:445").listen(None)
    assert [server[2] for server in reactor.tcpServers] == [limits.LISTEN_BACKLOG, 7, limits.LISTEN_BACKLOG]


@pytest.mark.parametrize("text", ["tcp:many", "tcp", "nothing:1", "=", "tcp:1\\", "haproxy", "haproxy:", "haproxy:tcp"])
def test_a_bad_endpoint_is_told_as_one_line(text: str) -> None:
    with pytest.raises(endpoints.EndpointError) as raised:
        endpoints.server(MemoryReactor(), text)
    assert "\n" not in str(raised.value)
