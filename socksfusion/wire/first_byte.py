"""Which protocol a Client speaks, told from its first byte."""

from typing import Final

from socksfusion.wire import http_proxy, socks4, socks5, socks5_server
from socksfusion.wire.way_in import WayIn

_TLS_HANDSHAKE: Final = 0x16


class NoWayIn(Exception):
    """No protocol that is served begins like this; ``rule`` is for the log, the text for people."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why)
        self.rule = rule


def way_in(first: int, *, login_required: bool) -> WayIn:
    """The negotiation with a Client whose first byte is ``first``. Raises ``NoWayIn``."""
    if first == socks5.VERSION:
        return socks5_server.ServerConnection(login_required=login_required)
    if first == socks4.VERSION:
        return socks4.ServerConnection(login_required=login_required)
    if chr(first).isalpha() and first < 0x80:
        return http_proxy.ServerConnection(login_required=login_required)
    if first == _TLS_HANDSHAKE:
        raise NoWayIn(
            "client-tls",
            "looks like a TLS ClientHello, and this port has no TLS: use it as http:// or socks5:// proxy, "
            "or give it an endpoint that begins with ssl:",
        )
    raise NoWayIn("client-protocol", f"looks like no protocol that is served (first byte {first:#04x})")
