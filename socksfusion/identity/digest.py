"""How a key is known: by the SHA-256 of its public half."""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import serialization


def key_digest(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the certificate's DER SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7), 32 bytes."""
    encoded = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(encoded).digest()
