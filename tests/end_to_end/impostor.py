"""A TLS server in the Proxy's place, and certificates that it must not have."""

import socket
import ssl
import tempfile
import time
from collections.abc import Callable

from socksfusion.identity.authority import Authority, Issued
from socksfusion.identity.state import StateFolder

MONTH_SECONDS = 30 * 86400.0
MINE = ["localhost"]


class Impostor:
    """A TLS server with ``issued``; ``heard`` is what each connection said after its handshake."""

    def __init__(self, issued: Issued, *, alpn: str | None = "socksfusion/1", says: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._says = says
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if alpn is not None:
            self.context.set_alpn_protocols([alpn])
        with tempfile.NamedTemporaryFile() as chain:
            chain.write(issued.certificate_pem + issued.key_pem)
            chain.flush()
            self.context.load_cert_chain(chain.name)

    def __call__(self, connection: socket.socket) -> None:
        heard = b""
        try:
            tls = self.context.wrap_socket(connection, server_side=True)
            if self._says:
                tls.sendall(self._says)
            while data := tls.recv(65536):
                heard += data
        except OSError:  # ssl's errors are such
            pass
        finally:
            self.heard.append(heard)


CERTIFICATES: dict[str, tuple[Callable[[StateFolder], Issued], str]] = {
    "of another CA": (
        lambda state: Authority.create()[0].issue_proxy(MINE),
        "shows a certificate that is not of this copy's CA, issued by SocksFusion CA ",
    ),
    "of another name": (
        lambda state: state.authority().issue_proxy(["proxy.example.org"]),
        "the Proxy at localhost has a certificate for proxy.example.org; use one of these names",
    ),
    "of an agent": (
        lambda state: state.authority().issue_agent("demo"),
        "is not a Proxy's: some agent of this installation answers there",
    ),
    "not valid yet": (
        lambda state: state.authority(time.time() + MONTH_SECONDS).issue_proxy(MINE),
        "is not valid yet: compare the clocks of this machine and of the Proxy",
    ),
    "expired": (
        lambda state: expired(state),
        "has expired: compare the clocks, or restart the Proxy, which renews it",
    ),
}


def expired(state: StateFolder) -> Issued:
    key = state.ca_key_file.read_bytes()
    return Authority(state.ca_pem(), key, lambda: time.time() - 2 * 365 * 86400).issue_proxy(MINE)
