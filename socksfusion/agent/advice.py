"""What to tell a network admin when the Agent can't reach its Proxy.

One line that says what is wrong and what to do.
"""

import os

from OpenSSL import SSL
from twisted.internet import defer, error
from twisted.python.failure import Failure

from socksfusion.agent.outbound.errors import OutboundFailed
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.tls import refused_issuer, verify_error
from socksfusion.log import printable
from socksfusion.tunnel.tls import TLSFailed

_NOT_YET_VALID = {9, 13}
_EXPIRED = {10, 14}
_INVALID_PURPOSE = 26
"""Numbers of OpenSSL's x509_vfy.h: X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED and the two for their fields, and
X509_V_ERR_INVALID_PURPOSE.
"""
ABOUT_DATES = _NOT_YET_VALID | _EXPIRED
"""Those that a wrong clock explains."""


def no_connection(failure: Failure, proxy: str) -> str:
    """Advice for a TCP connection to ``proxy`` that could not be made."""
    if failure.check(OutboundFailed):
        return failure.getErrorMessage()
    if failure.check(error.DNSLookupError):
        return f"the name in {proxy} can't be resolved: check it, and this machine's DNS"
    if failure.check(error.ConnectionRefusedError):
        return f"{proxy} refused the connection: is the Proxy running, and is the port right?"
    # a HostnameEndpoint that a time limit ends calls itself cancelled
    if failure.check(error.TimeoutError, error.TCPTimedOutError, defer.TimeoutError, error.ConnectingCancelledError):
        return f"{proxy} gave no answer: a firewall on the way may drop the connection"
    number = getattr(failure.value, "osError", None) or getattr(failure.value, "errno", None)
    reason = os.strerror(number) if isinstance(number, int) else failure.getErrorMessage()
    return f"no connection to {proxy} ({printable(reason)}): is the address right, and has this machine a way to it?"


def tls_failed(failed: TLSFailed, connection: SSL.Connection, copy: AgentCopy, proxy: str) -> str:
    """Advice for a TLS connection to ``proxy`` that failed, on either side's word."""
    reasons = set(failed.reasons)
    if any("certificate verify failed" in reason for reason in reasons):
        return _distrusted(connection, copy, proxy)
    refused_at_all = any(text in reason for reason in reasons for text in ("protocol version", "handshake failure"))
    if any("alert" in reason for reason in reasons) and not refused_at_all:
        return (
            f"the Proxy at {proxy} refused this copy's certificate ({printable(str(failed))}): "
            f"{copy.clock_problem() or 'it is from another installation, or the clock on the Proxy is wrong'}"
        )
    return f"what answers at {proxy} does not speak TLS 1.3 as a Proxy does ({printable(str(failed))})"


def _distrusted(connection: SSL.Connection, copy: AgentCopy, proxy: str) -> str:
    problem = copy.clock_problem()
    if problem is not None:
        return problem
    code = verify_error(connection)
    if code in _NOT_YET_VALID:
        return f"the certificate of {proxy} is not valid yet: compare the clocks of this machine and of the Proxy"
    if code in _EXPIRED:
        return f"the certificate of {proxy} has expired: compare the clocks, or restart the Proxy, which renews it"
    if code == _INVALID_PURPOSE:
        return f"the certificate that {proxy} shows is not a Proxy's: some agent of this installation answers there"
    issuer = refused_issuer(connection)
    by = f", issued by {printable(issuer)}" if issuer else ""
    return (
        f"{proxy} shows a certificate that is not of this copy's CA{by}: it is another installation, "
        "or something on the way opens TLS and needs an exemption for this address"
    )
