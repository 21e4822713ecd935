"""Key pairs and certificates: read, written, and known by the SHA-256 of their public half."""

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def key_digest(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the certificate's DER SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7), 32 bytes."""
    encoded = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(encoded).digest()


def load_certificate(certificate_pem: bytes) -> x509.Certificate:
    """The certificate in ``certificate_pem``; ``ValueError`` where it is damaged."""
    try:
        return x509.load_pem_x509_certificate(certificate_pem)
    except x509.InvalidVersion as error:  # which is no ValueError
        raise ValueError(str(error)) from error


def load_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The private key in ``key_pem``; ``ValueError`` unless it is an elliptic-curve key."""
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    return key


def dump_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """``key`` as PEM (PKCS #8, not encrypted)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
