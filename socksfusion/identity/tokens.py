"""Tokens: the passwords that we make. Whoever checks one needs its SHA-256 only.

They are random, 192 bits, so a fast hash is enough: nobody can try them out.
"""

import hashlib
import secrets

from socksfusion import limits


def mint_token() -> str:
    """A new token, of letters, digits, ``-`` and ``_``; to be shown once and kept nowhere."""
    while True:
        token = secrets.token_urlsafe(limits.TOKEN_BYTES)
        if token[0].isalnum():  # no tool takes it for an option of its own
            return token


def token_digest(token: bytes | str) -> bytes:
    """What is kept of a token: its SHA-256, 32 bytes. Any text that somebody sends has one."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape") if isinstance(token, str) else token).digest()
