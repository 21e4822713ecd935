"""What a network admin reads when the Agent can't reach its Proxy: one line, what is wrong and what to do."""

import time
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import defer, error
from twisted.python.failure import Failure

from socksfusion.agent import advice
from socksfusion.identity.authority import Authority
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.tls import agent_context, proxy_context
from tests.tunnel.certificates import HOST, agent_copy, agent_side, proxy_side
from tests.tunnel.pair import Pair

PROXY = "proxy.example.org:443"
YEAR = 365 * 86400


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (error.DNSLookupError(), "can't be resolved"),
        (error.ConnectionRefusedError(), "refused the connection: is the Proxy running"),
        (error.TimeoutError(), "a firewall on the way"),
        (error.TCPTimedOutError(), "a firewall on the way"),
        (defer.TimeoutError(), "a firewall on the way"),
        (error.NoRouteError("no\nroute"), "no connection to"),
        (error.NoRouteError(101, "in Twisted's words"), "(Network is unreachable): is the address right"),
        (OSError("\x1b[31mred"), "\\x1b[31mred"),
    ],
)
def test_no_connection(cause: Exception, says: str) -> None:
    line = advice.no_connection(Failure(cause), PROXY)
    assert says in line
    assert PROXY in line
    assert line.isprintable()


def told(agent: SSL.Context, proxy: SSL.Context, copy: AgentCopy) -> str:
    """What an Agent with ``copy`` says after a handshake of the two contexts, which fails."""
    pair = Pair(agent_context=agent, proxy_context=proxy)
    pair.pass_time(2)
    failure = pair.agent.tls_failure
    assert failure is not None
    assert pair.agent_owner.handshakes == 0 or "alert" in str(failure)
    line = advice.tls_failed(failure, pair.agent.tls.connection, copy, PROXY)
    assert line.isprintable()
    return line


def test_a_proxy_of_another_installation() -> None:
    copy = agent_copy(trusts=1)
    line = told(agent_side(trusts=1), proxy_side(), copy)
    assert "not of this copy's CA" in line
    assert "SocksFusion CA" in line, "who issued it"


def test_a_copy_of_another_installation() -> None:
    copy = agent_copy(number=1, trusts=0)
    line = told(agent_side(number=1, trusts=0), proxy_side(), copy)
    assert "refused this copy's certificate" in line
    assert "another installation" in line


@pytest.mark.parametrize(
    ("made", "says"),
    [(time.time() + YEAR, "is not valid yet"), (time.time() - 2 * YEAR, "has expired")],
    ids=["ahead", "behind"],
)
def test_clocks_that_differ(made: float, says: str) -> None:
    """The CA is valid throughout, the Proxy's certificate is not."""
    ca, key = Authority.create(now=lambda: time.time() - 3 * YEAR)
    proxy = Authority(ca.ca_pem, key, now=lambda: made).issue_proxy([HOST])
    agent = ca.issue_agent("acme")
    copy = AgentCopy("acme", PROXY, ca.ca_pem, agent.certificate_pem, agent.key_pem)
    line = told(agent_context(copy), proxy_context(ca.ca_pem, proxy.certificate_pem, proxy.key_pem), copy)
    assert says in line
    assert "clock" in line


def test_a_copy_whose_own_certificate_is_not_valid_by_this_clock() -> None:
    ca, key = Authority.create()
    agent = Authority(ca.ca_pem, key, now=lambda: time.time() + YEAR).issue_agent("acme")
    proxy = ca.issue_proxy([HOST])
    copy = AgentCopy("acme", PROXY, ca.ca_pem, agent.certificate_pem, agent.key_pem)
    line = told(agent_context(copy), proxy_context(ca.ca_pem, proxy.certificate_pem, proxy.key_pem), copy)
    assert copy.clock_problem() is not None
    assert str(copy.clock_problem()) in line


class Web:
    """Something that answers with what is no TLS."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def dataReceived(self, data: bytes) -> None:
        self._pair.proxy_end.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    def connectionLost(self, reason: Any) -> None:
        pass


def test_something_that_is_no_proxy() -> None:
    pair = Pair(connect=False)
    pair.proxy_end.protocol = Web(pair)
    pair.agent.makeConnection(pair.agent_end)  # type: ignore[no-untyped-call]
    pair.pass_time(2)
    assert pair.agent.tls_failure is not None
    line = advice.tls_failed(pair.agent.tls_failure, pair.agent.tls.connection, agent_copy(), PROXY)
    assert line.startswith(f"what answers at {PROXY} does not speak TLS 1.3")


def test_something_that_knows_tls_1_2_alone() -> None:
    """Its alert is no word on the copy's certificate, which it has not seen."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    line = told(agent_side(), context, agent_copy())
    assert "does not speak TLS 1.3 as a Proxy does" in line
    assert "refused" not in line
