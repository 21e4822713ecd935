"""The SSH transport of the manhole: strong algorithms only, and little patience before a login."""

from typing import Any

from twisted.conch.ssh.service import SSHService
from twisted.conch.ssh.transport import DISCONNECT_PROTOCOL_ERROR, SSHServerTransport

from socksfusion import limits
from socksfusion.manhole.keys import SIGNATURES
from socksfusion.manhole.quiet import QUIET

# Message numbers (RFC 4250, section 4.1.2)
_BEFORE_KEYS = frozenset({1, 2, 3, 4, 20, 21, 30})
"""Disconnect, ignore, unimplemented, debug; key exchange."""
_BEFORE_LOGIN = _BEFORE_KEYS | {5, 7, 50}
"""And service request, extensions, login request: nothing that belongs to a channel or that only a server sends."""


class ManholeTransport(SSHServerTransport):
    """One connection to the manhole.

    Until the login is done it may send ``limits.MANHOLE_UNAUTHENTICATED_BYTES``, has ``limits.HANDSHAKE_SECONDS``, and
    whatever it sends out of turn ends it (attacks.md, A6 and A7). The lists of algorithms are pinned (A8, G2).
    """

    ourVersionString = b"SSH-2.0-SocksFusion"
    supportedCiphers = [b"aes256-ctr", b"aes128-ctr"]
    supportedMACs = [b"hmac-sha2-256", b"hmac-sha2-512"]
    supportedKeyExchanges = [b"curve25519-sha256", b"curve25519-sha256@libssh.org"]
    supportedCompressions = [b"none"]
    _log = QUIET

    factory: Any
    transport: Any
    peer: str
    """Who it is, for log lines; the factory sets it, and ``on_known``."""

    def connectionMade(self) -> None:
        """Start the clock."""
        self._received = 0
        self._over = False
        self._logged_in = False
        self._key_is_known = False
        self._deadline = self.factory.reactor.callLater(limits.HANDSHAKE_SECONDS, self._too_slow)
        super().connectionMade()  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Take bytes; a stranger's are counted, and what conch can't digest ends the connection without a traceback."""
        if self._over:
            return
        if self._logged_in:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
            return
        self._received += len(data)
        if self._received > limits.MANHOLE_UNAUTHENTICATED_BYTES:
            self.refuse("manhole-bytes", "too much was sent before a login")
            self._abort()
            return
        try:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
        except Exception as error:  # conch raises whatever unpacking a wrong message raises
            self.refuse("manhole-protocol", f"a message can't be read: {type(error).__name__}")
            self._abort()

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        """Pass on a message that is in turn; another one ends the connection."""
        if self._over:
            return
        keys_are_set = self.sessionID is not None and self.isEncrypted("in")  # type: ignore[no-untyped-call]
        allowed = _BEFORE_LOGIN if keys_are_set else _BEFORE_KEYS
        if not self._logged_in and messageNum not in allowed:
            self.sendDisconnect(DISCONNECT_PROTOCOL_ERROR, b"message %d came before the login" % messageNum)
            return
        super().dispatchMessage(messageNum, payload)  # type: ignore[no-untyped-call]

    def ssh_SERVICE_REQUEST(self, packet: bytes) -> None:
        """Start the login, once: a second start would forget the tries of the first."""
        if self.service is not None:
            self.sendDisconnect(DISCONNECT_PROTOCOL_ERROR, b"a second service was asked for")
            return
        super().ssh_SERVICE_REQUEST(packet)

    def setService(self, service: SSHService) -> None:
        """Note that the login is done when its service hands over to that of the channels."""
        if service.name == b"ssh-connection":
            self._logged_in = True
            self._known()
        super().setService(service)  # type: ignore[no-untyped-call]

    def sendExtInfo(self, extensions: list[tuple[bytes, bytes]]) -> None:
        """Tell which algorithms a user's key may sign by (RFC 8308, section 3.1); conch would tell the host key's."""
        algorithms = b",".join(algorithm for taken in SIGNATURES.values() for algorithm in taken)
        super().sendExtInfo([(b"server-sig-algs", algorithms)])  # type: ignore[no-untyped-call]

    def sendDisconnect(self, reason: int, desc: bytes) -> None:
        """Tell the peer why, and take nothing more from it; before the login it counts as a refusal."""
        if not self._over:
            if not self._logged_in:
                self.refuse("manhole-protocol", desc)
            super().sendDisconnect(reason, desc)  # type: ignore[no-untyped-call]
            self._over = True

    def connectionLost(self, reason: Any = None) -> None:
        """Clean up."""
        self._over = True
        self._known()
        super().connectionLost(reason)

    def key_is_known(self) -> None:
        """Somebody named an authorized key: a person may have to type its passphrase now."""
        if self._deadline.active() and not self._key_is_known:
            self._key_is_known = True
            self._deadline.reset(limits.MANHOLE_PASSPHRASE_SECONDS)

    def refuse(self, rule: str, why: str | bytes) -> None:
        """Count and log a refusal of this peer."""
        self.factory.refusals.refuse(rule, self.peer, why if isinstance(why, str) else why.decode("latin-1"))

    def _too_slow(self) -> None:
        self.refuse("manhole-slow", "no login in time")
        self._abort()

    def _abort(self) -> None:
        self._over = True
        self.transport.abortConnection()

    def _known(self) -> None:
        """No stranger any more, or gone."""
        if self._deadline.active():
            self._deadline.cancel()
        self.on_known()

    def on_known(self) -> None:
        """Called once or more when the connection no longer counts as a stranger's."""
