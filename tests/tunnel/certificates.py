"""Certificates and contexts for pair tests, made once: keys are slow to make and nothing changes them."""

from functools import cache

from OpenSSL import SSL

from socksfusion.identity.authority import Authority, Issued
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.tls import agent_context, proxy_context

HOST = "proxy.example.org"


@cache
def authority(number: int = 0) -> Authority:
    """One installation's CA; another number is another installation."""
    return Authority.create()[0]


@cache
def proxy_issued(number: int = 0) -> Issued:
    return authority(number).issue_proxy([HOST, "192.0.2.1"])


@cache
def agent_issued(key: int = 0, number: int = 0) -> Issued:
    """Another ``key`` is another key pair of the same CA."""
    return authority(number).issue_agent("acme")


def agent_copy(key: int = 0, *, number: int = 0, trusts: int | None = None) -> AgentCopy:
    """A copy of installation ``number`` whose CA is that of ``trusts``."""
    issued = agent_issued(key, number)
    ca_pem = authority(number if trusts is None else trusts).ca_pem
    return AgentCopy("acme", f"{HOST}:443", ca_pem, issued.certificate_pem, issued.key_pem)


@cache
def proxy_side(number: int = 0) -> SSL.Context:
    issued = proxy_issued(number)
    return proxy_context(authority(number).ca_pem, issued.certificate_pem, issued.key_pem)


@cache
def agent_side(key: int = 0, number: int = 0, trusts: int | None = None) -> SSL.Context:
    return agent_context(agent_copy(key, number=number, trusts=trusts))
