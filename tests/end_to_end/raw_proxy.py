"""A Proxy of the tests' own, for what a real one would not say to an Agent: TLS by Python's ssl, frames by hand."""

import socket
import ssl
import tempfile
from typing import Self

from socksfusion.identity.state import StateFolder
from tests.end_to_end.network import PATIENCE_SECONDS
from tests.end_to_end.raw_agent import DATA, HELLO, SYN, RawPeer, frame, record


class RawProxy:
    """Listens in the Proxy's place with the Proxy's own certificate."""

    def __init__(self, state: StateFolder) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_SECONDS)
        self.port: int = self._listener.getsockname()[1]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.set_alpn_protocols(["socksfusion/1"])
        self._context.load_verify_locations(cadata=state.ca_pem().decode())
        self._context.verify_mode = ssl.CERT_REQUIRED
        with tempfile.NamedTemporaryFile() as chain:
            chain.write(state.proxy_pem() + state.proxy_key_pem())
            chain.flush()
            self._context.load_cert_chain(chain.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()

    def welcome(self) -> RawPeer:
        """Take the Agent's next call and let it serve."""
        raw, _ = self._listener.accept()
        raw.settimeout(PATIENCE_SECONDS)
        peer = RawPeer(self._context.wrap_socket(raw, server_side=True))
        hello = record(HELLO)
        peer.send(frame(DATA, SYN, 1, len(hello), hello))
        assert peer.next_record()["type"] == "hello"
        peer.say({"type": "welcome", "agent": "demo", "heartbeat": 0.0})
        return peer
