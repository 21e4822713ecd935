"""An installation's CA and what it issues, made once: keys are slow to make and nothing here changes them."""

import ssl
from dataclasses import dataclass

import pytest

from socksfusion.identity.authority import Authority, Issued
from socksfusion.identity.copy import AgentCopy


@dataclass(frozen=True)
class Installation:
    authority: Authority
    ca_key: bytes
    proxy: Issued
    agent: Issued

    def copy(self, issued: Issued | None = None, ca_pem: bytes | None = None) -> AgentCopy:
        one = issued or self.agent
        return AgentCopy(
            "acme", "proxy.example.org:443", ca_pem or self.authority.ca_pem, one.certificate_pem, one.key_pem
        )


def make_installation() -> Installation:
    authority, ca_key = Authority.create()
    proxy = authority.issue_proxy(["proxy.example.org", "192.0.2.1", "2001:db8::1"])
    return Installation(authority, ca_key, proxy, authority.issue_agent("acme"))


def of_no_version(certificate_pem: bytes) -> bytes:
    """The certificate with a version that X.509 doesn't have."""
    der = ssl.PEM_cert_to_DER_cert(certificate_pem.decode())
    version_3, version_6 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"
    assert der.count(version_3) == 1
    return ssl.DER_cert_to_PEM_cert(der.replace(version_3, version_6)).encode()


@pytest.fixture(scope="session")
def installation() -> Installation:
    return make_installation()


@pytest.fixture(scope="session")
def other_installation() -> Installation:
    return make_installation()
