"""SSH keys of the manhole: who may come in, and by which key it is known itself."""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from twisted.conch.ssh.common import getNS
from twisted.conch.ssh.keys import BadKeyError, EncryptedKeyError, Key

from socksfusion import limits
from socksfusion.errors import StateError, UsageError
from socksfusion.identity.private_files import (
    ExposedFileError,
    PrivateFileError,
    create_private,
    read_private,
    shown,
)
from socksfusion.log import make_logger

_log = make_logger()

SIGNATURES: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"ssh-ed25519": (b"ssh-ed25519",),
    b"ecdsa-sha2-nistp256": (b"ecdsa-sha2-nistp256",),
    b"ecdsa-sha2-nistp384": (b"ecdsa-sha2-nistp384",),
    b"ecdsa-sha2-nistp521": (b"ecdsa-sha2-nistp521",),
    b"ssh-rsa": (b"rsa-sha2-512", b"rsa-sha2-256"),
}
"""Types of keys that are taken, and the algorithms that each may sign with (attacks.md, G2: no SHA-1, no DSA)."""
_RSA_BITS = 2048


class AuthorizedKeysError(Exception):
    """The file of authorized keys can't be used; the text says why."""


def fingerprint(blob: bytes) -> str:
    """A public key's fingerprint as ``ssh-keygen -l`` shows it; ``blob`` is the key as SSH sends it (RFC 4253, 6.6)."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def read_authorized_keys(path: Path) -> dict[bytes, str]:
    """The keys of an OpenSSH ``authorized_keys`` file: key blob to comment.

    A line with options is left out with a log line, since the manhole would not keep to them. Raises
    ``AuthorizedKeysError`` where the file can't be read or others may write it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise AuthorizedKeysError(f"{shown(path)} is not a regular file")
            if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
                raise AuthorizedKeysError(f"others may write {shown(path)}; type: chmod 600 {shown(path)}")
            text = file.read(limits.AUTHORIZED_KEYS_BYTES)
    except OSError as error:
        raise AuthorizedKeysError(f"can't read {shown(path)}: {error.strerror}") from error
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        blob, comment = _parse_line(line)
        if blob is None:
            _log.warn("{file} line {number} is left out: {why}", file=shown(path), number=number, why=comment)
        else:
            found[blob] = comment
    return found


def _parse_line(line: bytes) -> tuple[bytes | None, str]:
    """A key's blob and comment, or None and why not."""
    fields = line.split(None, 2)
    if len(fields) < 2 or fields[0] not in SIGNATURES:
        return None, "it begins with options or with a type of key that is not taken"
    try:
        blob = base64.b64decode(fields[1], validate=True)
        key = Key.fromString(blob)
    except (binascii.Error, BadKeyError, ValueError, IndexError):
        return None, "its key is damaged"
    if getNS(blob)[0] != fields[0]:
        return None, "its key is of another type than it says"
    if fields[0] == b"ssh-rsa" and key.size() < _RSA_BITS:
        return None, f"its RSA key has less than {_RSA_BITS} bits"
    return blob, fields[2].decode("utf-8", "replace").strip() if len(fields) > 2 else ""


def load_host_key(path: Path) -> Key:
    """The manhole's own key, made where it is missing.

    Raises ``StateError``, or ``UsageError`` where others can read it.
    """
    if not path.exists():
        _make_host_key(path)
    try:
        key: Key = Key.fromString(read_private(path))
    except ExposedFileError as error:
        raise UsageError(str(error)) from error
    except PrivateFileError as error:
        raise StateError(str(error)) from error
    except (BadKeyError, EncryptedKeyError, ValueError) as error:
        raise StateError(f"{shown(path)} is no private SSH key without a passphrase; move it away") from error
    if key.isPublic() or key.sshType() not in SIGNATURES or (key.type() == "RSA" and key.size() < _RSA_BITS):
        raise StateError(f"{shown(path)} is not a private key of a type that the manhole uses; move it away")
    return key


def _make_host_key(path: Path) -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    try:
        create_private(path, pem)
    except (PrivateFileError, FileExistsError) as error:
        raise StateError(f"can't make the manhole's key {shown(path)}: {error}") from error
