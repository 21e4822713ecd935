"""TLS 1.3 over memory BIOs: ciphertext in, plaintext out, and the reverse. No socket, no reactor.

Twisted's own ``TLSMemoryBIOProtocol`` moves a 16 KiB record at a time; a carrier moves a whole read or flush at once,
which docs/performance.md puts figures to. The contexts come finished from ``socksfusion.identity.tls``.
"""

from OpenSSL import SSL

_RECORD_BYTES = 16 * 1024
_RECORD_OVERHEAD_BYTES = 32
"""A TLS 1.3 record adds 5 bytes of header, 1 of content type and 16 of tag (RFC 8446, section 5.2); rounded up."""


class TLSFailed(Exception):
    """The TLS connection can't go on; the text is OpenSSL's reasons, joined by commas."""

    def __init__(self, error: SSL.Error) -> None:
        reasons = error.args[0] if error.args and isinstance(error.args[0], (list, tuple)) else []
        self.reasons: tuple[str, ...] = tuple(str(entry[-1]) for entry in reasons if entry)
        super().__init__(
            ", ".join(self.reasons) or (error.__class__.__name__ if not error.args else str(error.args[0]))
        )


class TLSMachine:
    """One end of a TLS connection, driven by two kinds of sources.

    - the network: :meth:`receive_data` takes ciphertext, :meth:`data_to_send` gives ciphertext;
    - the application: :meth:`send` takes plaintext, :meth:`close` sends close_notify.

    A failure never loses what came before it: :meth:`receive_data` returns the plaintext of the records before the bad
    one and :attr:`failure` holds the reason; what :meth:`data_to_send` gives then ends in the alert for the peer.
    """

    __slots__ = ("_connection", "_unsent", "close_received", "failure", "handshaken")

    def __init__(self, context: SSL.Context, *, server: bool, server_name: str | None = None) -> None:
        self._connection = SSL.Connection(context, None)
        self._unsent = 0
        self.handshaken = False
        self.close_received = False
        self.failure: TLSFailed | None = None
        if server:
            self._connection.set_accept_state()
        else:
            if server_name is not None:
                self._connection.set_tlsext_host_name(server_name.encode("ascii"))
            self._connection.set_connect_state()
            self._handshake()

    @property
    def connection(self) -> SSL.Connection:
        """The OpenSSL connection, for questions about the peer (certificate, ALPN)."""
        return self._connection

    def receive_data(self, data: bytes) -> list[bytes]:
        """Plaintext pieces (at most 16 KiB each, one a record) that ``data`` completes."""
        pieces: list[bytes] = []
        if self.failure is not None or not data:
            return pieces
        connection = self._connection
        connection.bio_write(data)
        if not self.handshaken and not self._handshake():
            return pieces
        receive = connection.recv
        append = pieces.append
        try:
            while True:
                append(receive(_RECORD_BYTES))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.close_received = True
        except SSL.Error as error:
            self.failure = TLSFailed(error)
        return pieces

    def send(self, plaintext: bytes) -> None:
        """Encrypt ``plaintext``; the ciphertext waits in :meth:`data_to_send`."""
        self._unsent += len(plaintext)
        self._connection.send(plaintext)

    def data_to_send(self) -> bytes:
        """All ciphertext that waits; empty where there is none."""
        room = self._unsent + (self._unsent // _RECORD_BYTES + 2) * _RECORD_OVERHEAD_BYTES + 4096
        self._unsent = 0
        parts: list[bytes] = []
        try:
            while True:
                part = self._connection.bio_read(room)
                parts.append(part)
                if len(part) < room:
                    break
        except SSL.WantReadError:
            pass
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Tell the peer that nothing follows (close_notify); harmless after a failure."""
        if self.failure is None and self.handshaken:
            try:
                self._connection.shutdown()
            except SSL.Error:
                pass

    def _handshake(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            self.failure = TLSFailed(error)
            return False
        self.handshaken = True
        return True
