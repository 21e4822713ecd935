"""The login of the manhole: by a public key that ``authorized_keys`` holds at that moment, and by nothing else."""

import struct
from typing import Any

from twisted.conch import error
from twisted.conch.interfaces import IConchUser
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.userauth import MSG_USERAUTH_PK_OK, MSG_USERAUTH_REQUEST, SSHUserAuthServer
from twisted.internet.defer import Deferred, fail, succeed

from socksfusion import limits
from socksfusion.log import make_logger, printable
from socksfusion.manhole.keys import SIGNATURES, AuthorizedKeysError, fingerprint, read_authorized_keys
from socksfusion.manhole.quiet import QUIET

_log = make_logger()


class Login(SSHUserAuthServer):
    """The server's side of RFC 4252 with the method *publickey* alone."""

    attemptsBeforeDisconnect = limits.MANHOLE_TRIES - 1
    _log = QUIET

    def serviceStarted(self) -> None:
        """Begin; the transport's deadline bounds all of it."""
        self.authenticatedWith = []
        self.loginAttempts = 0
        self.user = b""
        self.nextService = b""
        self.supportedAuthentications = [b"publickey"]
        self._cancelLoginTimeout = None  # type: ignore[assignment]

    def auth_publickey(self, packet: bytes) -> Deferred[Any]:
        """Judge a key that is asked for (RFC 4252, section 7), or that has signed; a refusal is logged and counted."""
        signed = packet[:1] == b"\x01"
        algorithm, blob, rest = getNS(packet[1:], 2)
        why = self._refusal(algorithm, blob)
        transport: Any = self.transport
        if why is None and not signed:
            transport.key_is_known()
            transport.sendPacket(MSG_USERAUTH_PK_OK, packet[1:])
            return fail(error.IgnoreAuthentication())
        if why is None and not self._verified(algorithm, blob, getNS(rest)[0]):
            why = "its signature is wrong"
        if why is not None:
            transport.refuse("manhole-login", f"user {self._user_name()} key {fingerprint(blob)}: {why}")
            return fail(error.ConchError("refused"))
        return succeed((IConchUser, self._logged_in(blob), self._logged_out))

    def _refusal(self, algorithm: bytes, blob: bytes) -> str | None:
        """Why the key won't do, or None."""
        if self.nextService != b"ssh-connection":
            return "it asks for an unknown service"
        transport: Any = self.transport
        try:
            self._authorized = read_authorized_keys(transport.factory.authorized_keys)
        except AuthorizedKeysError as unreadable:
            return str(unreadable)
        if blob not in self._authorized:
            return "the key is not in authorized_keys"
        if algorithm not in SIGNATURES[getNS(blob)[0]]:
            return f"it signs by {algorithm.decode('latin-1')}"
        return None

    def _verified(self, algorithm: bytes, blob: bytes, signature: bytes) -> bool:
        transport: Any = self.transport
        signed_data = (
            NS(transport.sessionID)
            + bytes([MSG_USERAUTH_REQUEST])
            + NS(self.user or b"")
            + NS(self.nextService or b"")
            + NS(b"publickey")
            + b"\x01"
            + NS(algorithm)
            + NS(blob)
        )
        try:
            if getNS(signature)[0] != algorithm:
                return False
            return bool(Key.fromString(blob).verify(signature, signed_data))
        except (ValueError, IndexError, struct.error):
            return False

    def _user_name(self) -> str:
        return (self.user or b"").decode("utf-8", "replace")

    def _logged_in(self, blob: bytes) -> object:
        transport: Any = self.transport
        self._who = (
            f"user {printable(self._user_name())} from {transport.peer} with key {fingerprint(blob)} "
            f"({printable(self._authorized[blob])})"
        )
        _log.info("manhole login: {who}", who=self._who)
        return transport.factory.make_user()

    def _logged_out(self) -> None:
        _log.info("manhole logout: {who}", who=self._who)
