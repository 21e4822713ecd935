"""The installation's own certificate authority: what makes a key an agent's or the Proxy's.

Certificates follow RFC 5280. What a certificate may do stands in its extended key usage, so an agent's can't be taken
for the Proxy's, nor the reverse; common names are for people and decide nothing. Keys are on the curve P-256.
"""

import ipaddress
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from socksfusion import limits
from socksfusion.identity.keys import dump_key, key_digest, load_certificate, load_key
from socksfusion.identity.names import check_agent_name, check_host, is_address


class Issued(NamedTuple):
    """A certificate with its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes
    digest: bytes
    """SHA-256 of the DER SubjectPublicKeyInfo: how the registry knows the key."""


class Authority:
    """A CA certificate with its private key, both PEM. ``now`` gives Unix seconds.

    Raises ``ValueError`` where the two don't belong together or are damaged.
    """

    def __init__(self, ca_pem: bytes, key_pem: bytes, now: Callable[[], float] = time.time) -> None:
        self.ca_pem = ca_pem
        self._ca = load_certificate(ca_pem)
        self._key = load_key(key_pem)
        self._now = now
        if self._ca.public_key() != self._key.public_key():
            raise ValueError("the CA's certificate and key don't belong together")

    @classmethod
    def create(cls, now: Callable[[], float] = time.time) -> tuple["Authority", bytes]:
        """A new authority, valid for ``limits.CA_DAYS``, and its private key as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        # installations must not mistake each other's certificates by issuer name
        name = _name(f"SocksFusion CA {secrets.token_hex(4)}")
        builder = _builder(name, name, key.public_key(), now(), timedelta(days=limits.CA_DAYS))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(key_cert_sign=True), critical=True)
        ca_pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        key_pem = dump_key(key)
        return cls(ca_pem, key_pem, now), key_pem

    def issue_agent(self, name: str) -> Issued:
        """A new key and its certificate for an agent, valid as long as the CA: the registry says who may come in."""
        key = ec.generate_private_key(ec.SECP256R1())
        remaining = self._ca.not_valid_after_utc - _moment(self._now())
        builder = self._leaf(check_agent_name(name), key.public_key(), remaining, ExtendedKeyUsageOID.CLIENT_AUTH)
        return self._sign(builder, key)

    def issue_proxy(self, names: Sequence[str], key_pem: bytes | None = None) -> Issued:
        """A certificate for a Proxy called ``names`` (DNS names and IP addresses; the first is its usual one).

        It is valid for ``limits.PROXY_CERTIFICATE_DAYS``, for the key ``key_pem`` or a new one.
        """
        key = ec.generate_private_key(ec.SECP256R1()) if key_pem is None else load_key(key_pem)
        hosts = [check_host(name) for name in names]
        remaining = self._ca.not_valid_after_utc - _moment(self._now())
        life = min(timedelta(days=limits.PROXY_CERTIFICATE_DAYS), remaining)
        builder = self._leaf("SocksFusion Proxy", key.public_key(), life, ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False)
        return self._sign(builder, key)

    def _leaf(
        self, name: str, key: ec.EllipticCurvePublicKey, life: timedelta, usage: x509.ObjectIdentifier
    ) -> x509.CertificateBuilder:
        builder = _builder(_name(name), self._ca.subject, key, self._now(), life)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        identifier = self._ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False)

    def _sign(self, builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> Issued:
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), dump_key(key), key_digest(certificate))


def certificate_names(certificate_pem: bytes) -> list[str]:
    """The DNS names and IP addresses that a Proxy's certificate is for, in their order."""
    certificate = load_certificate(certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(host)) if is_address(host) else x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: float, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(_moment(now - limits.CERTIFICATE_BACKDATE_SECONDS))
    builder = builder.not_valid_after(_moment(now) + life)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
