"""For Twisted programs: client endpoints that reach targets through a Proxy's SOCKS port."""

from socksfusion.client.endpoint import Proxy, SocksFusionEndpoint
from socksfusion.client.errors import (
    AddressNotSupported,
    CommandNotSupported,
    Denied,
    HostUnreachable,
    LoginRefused,
    NetworkUnreachable,
    NoAnswer,
    NotTested,
    OpenFailed,
    ProxyFailed,
    Refused,
)
from socksfusion.wire.socks5_client import Login

__all__ = [
    "AddressNotSupported",
    "CommandNotSupported",
    "Denied",
    "HostUnreachable",
    "Login",
    "LoginRefused",
    "NetworkUnreachable",
    "NoAnswer",
    "NotTested",
    "OpenFailed",
    "Proxy",
    "ProxyFailed",
    "Refused",
    "SocksFusionEndpoint",
]
