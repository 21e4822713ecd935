"""OpenSSL's contexts for both ends of a carrier, and who the other end is. No other module makes or changes a context.

TLS 1.3 alone (RFC 8446), certificates from the installation's CA on both sides, no tickets and no session cache: each
connection proves its key anew; only ``look_context`` takes less, and nothing is said by it. pyOpenSSL forbids changes
after a context's first connection, so all are finished here.
"""

from typing import Any
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    extract_patterns,
    verify_certificate_hostname,
    verify_certificate_ip_address,
)

from socksfusion.errors import OperatorError
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.keys import key_digest, load_certificate, load_key
from socksfusion.identity.names import is_address
from socksfusion.log import printable

ALPN = b"socksfusion/1"
"""The tunnel's name in the handshake (RFC 7301); the number is the protocol's major version."""

HTTP = b"http/1.1"
"""The link site's name in the handshake."""

_ENABLE_PARTIAL_WRITE = 0x1  # SSL_MODE_ENABLE_PARTIAL_WRITE of openssl/ssl.h, which pyOpenSSL doesn't export
_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

_verify_errors: WeakKeyDictionary[SSL.Connection, tuple[int, crypto.X509]] = WeakKeyDictionary()


class WrongProxyName(OperatorError):
    """The Proxy that answered is not called as the Agent called it."""


def proxy_context(
    ca_pem: bytes, certificate_pem: bytes, key_pem: bytes, site: SSL.Context | None = None
) -> SSL.Context:
    """The Proxy's side: who offers the tunnel must show an agent's certificate from the CA.

    Who offers ``HTTP`` instead is asked for no certificate and gets ``site``'s; who offers neither may show one or not.
    Only ``is_tunnel`` tells whom to let at the tunnel's parsers.

    Raises ``ValueError`` where a PEM text is damaged, and ``SSL.Error`` where certificate and key don't fit.
    """
    context = _context(ca_pem, certificate_pem, key_pem)
    # no callback is called for a client without ALPN: this holds for it
    context.set_verify(SSL.VERIFY_PEER, _note_verdict)
    context.set_alpn_select_callback(lambda connection, offered: _select_alpn(connection, offered, site))
    return context


def _select_alpn(connection: SSL.Connection, offered: list[bytes], site: SSL.Context | None) -> Any:
    # OpenSSL asks before it decides whether to request a certificate, so this very connection can be told
    if ALPN in offered:
        # the context's verdict stays with it
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        return ALPN
    if HTTP in offered:
        connection.set_verify(SSL.VERIFY_NONE)
        if site is not None:
            connection.set_context(site)
        return HTTP
    # a stranger's offer is no error here: the carrier asks is_tunnel()
    return SSL.NO_OVERLAPPING_PROTOCOLS


def site_context(chain_pem: bytes, key_pem: bytes) -> SSL.Context:
    """For the link site alone: a certificate with those between it and its CA; nobody is asked for one.

    Raises ``ValueError`` where a PEM text is damaged, and ``SSL.Error`` where certificate and key don't fit.
    """
    first, *others = x509.load_pem_x509_certificates(chain_pem)
    context = _bare_context()
    context.use_certificate(first)
    for other in others:
        context.add_extra_chain_cert(crypto.X509.from_cryptography(other))
    context.use_privatekey(_any_key(key_pem))
    context.check_privatekey()
    context.set_verify(SSL.VERIFY_NONE)
    context.set_alpn_select_callback(lambda _, offered: HTTP if HTTP in offered else SSL.NO_OVERLAPPING_PROTOCOLS)
    return context


def _any_key(pem: bytes) -> Any:
    # a certificate that browsers trust has a key of a kind that its CA takes
    return serialization.load_pem_private_key(pem, None)


def agent_context(copy: AgentCopy) -> SSL.Context:
    """The Agent's side: a Proxy's certificate from the copy's CA is required; its name is ``verify_proxy_name``'s."""
    context = _context(copy.ca_pem, copy.certificate_pem, copy.key_pem)
    context.set_alpn_protos([ALPN])
    return context


def look_context() -> SSL.Context:
    """For a look at who answers where TLS 1.3 does not stand: TLS 1.2 too, whatever certificate it shows.

    It has no key: nothing is to be said over such a connection.
    """
    context = _bare_context()
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE)
    return context


def _context(ca_pem: bytes, certificate_pem: bytes, key_pem: bytes) -> SSL.Context:
    context = _bare_context()
    store = context.get_cert_store()
    assert store is not None  # a context always has one
    store.add_cert(crypto.X509.from_cryptography(load_certificate(ca_pem)))
    context.use_certificate(load_certificate(certificate_pem))
    context.use_privatekey(load_key(key_pem))
    context.check_privatekey()
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _note_verdict)
    return context


def _bare_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(_CIPHERS)
    # OpenSSL still sends tickets under these settings (openssl#8077), but dead ones: no session is kept for them
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # pyOpenSSL sets it; with it one call to send() makes one record of 16 KiB instead of taking all
    context.clear_mode(_ENABLE_PARTIAL_WRITE)
    return context


def _note_verdict(connection: SSL.Connection, certificate: crypto.X509, code: int, _depth: int, ok: int) -> bool:
    # OpenSSL's verdict stands; it is kept because the handshake's error doesn't carry it, nor the certificate
    if not ok:
        _verify_errors[connection] = code, certificate
    return bool(ok)


def verify_error(connection: SSL.Connection) -> int | None:
    """Why the peer's certificate was refused (an ``X509_V_ERR_`` number of OpenSSL), ``None`` if it was not."""
    code, _ = _verify_errors.get(connection, (None, None))
    return code


def refused_issuer(connection: SSL.Connection) -> str | None:
    """The common name of who issued the certificate that was refused; ``None`` if none was, or it has no such name."""
    _, certificate = _verify_errors.get(connection, (None, None))
    return _issuer(certificate) if certificate is not None else None


def old_issuer(connection: SSL.Connection) -> tuple[str | None] | None:
    """Of a ``look_context``'s connection, whose handshake need not be done: who issued the certificate that was shown.

    ``None`` where none was shown yet, or the connection is TLS 1.3.
    """
    certificate = connection.get_peer_certificate()
    if certificate is None or connection.get_protocol_version_name() != "TLSv1.2":
        return None
    return (_issuer(certificate),)


def _issuer(certificate: crypto.X509) -> str | None:
    try:
        names = certificate.to_cryptography().issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, x509.InvalidVersion):
        return None  # it is a stranger's, and may be malformed
    return str(names[0].value) if names else None


def is_tunnel(connection: SSL.Connection) -> bool:
    """Whether both ends agreed on our ALPN name and the peer showed a certificate; ask after the handshake."""
    return connection.get_alpn_proto_negotiated() == ALPN and connection.get_peer_certificate() is not None


def is_guest(connection: SSL.Connection) -> bool:
    """Whether the peer wants no tunnel and showed no certificate: it is the link site's; ask after the handshake."""
    return connection.get_alpn_proto_negotiated() != ALPN and connection.get_peer_certificate() is None


def peer_key_digest(connection: SSL.Connection) -> bytes:
    """SHA-256 of the peer's DER SubjectPublicKeyInfo (32 bytes); ``ValueError`` before the handshake is done."""
    return key_digest(_peer_certificate(connection))


def verify_proxy_name(connection: SSL.Connection, host: str) -> None:
    """Check that the Proxy's certificate is for ``host``, a DNS name or an IP address (RFC 9525).

    Raises ``WrongProxyName``; ``ValueError`` before the handshake is done.
    """
    verify = verify_certificate_ip_address if is_address(host) else verify_certificate_hostname
    certificate = _peer_certificate(connection)
    try:
        verify(certificate, host)
    except (VerificationError, CertificateError, ValueError):
        patterns = extract_patterns(certificate)
        names = ", ".join(_pattern_text(pattern) for pattern in patterns) or "no name"
        raise WrongProxyName(
            f"the Proxy at {printable(host)} has a certificate for {printable(names)}; use one of these names, or "
            f"add this one on the Proxy's side by: socksfusion init --name {printable(host)}"
        )


def _peer_certificate(connection: SSL.Connection) -> x509.Certificate:
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        raise ValueError("the peer has shown no certificate")
    return certificate


def _pattern_text(pattern: object) -> str:
    value = getattr(pattern, "pattern", pattern)
    inner = getattr(value, "pattern", value)
    return inner.decode("ascii", "replace") if isinstance(inner, bytes) else str(inner)
