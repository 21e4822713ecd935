"""Out through a SOCKS5 proxy."""

from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from socksfusion.agent.outbound.errors import OutboundFailed, OutboundLoginFailed
from socksfusion.agent.outbound.settings import OutboundProxy
from socksfusion.identity.names import format_proxy
from socksfusion.log import printable
from socksfusion.negotiation import NegotiatedEndpoint
from socksfusion.wire.socks5 import Reply
from socksfusion.wire.socks5_client import ClientConnection, Login, LoginRefused, Refused, ServerFailed

_MEANING = {
    Reply.GENERAL_FAILURE: "it failed",
    Reply.NOT_ALLOWED: "its rules forbid it; ask who runs it to allow that address and port",
    Reply.NETWORK_UNREACHABLE: "network unreachable",
    Reply.HOST_UNREACHABLE: "host unreachable, or name not found",
    Reply.REFUSED: "connection refused: is the Proxy running, and is the port right?",
    Reply.TTL_EXPIRED: "no answer in time",
}


def socks_endpoint(
    reactor: Any, endpoint: IStreamClientEndpoint, proxy: OutboundProxy, host: str, port: int, seconds: float
) -> NegotiatedEndpoint:
    """``host`` and ``port`` through ``proxy``, which ``endpoint`` reaches, and which resolves a name.

    ``connect`` fails with an ``OutboundFailed``. Raises ``ValueError`` for a login that SOCKS5 can't carry.
    """
    login = None if proxy.user is None else Login(proxy.user, proxy.password or "")

    def converse() -> _Conversation:
        return _Conversation(ClientConnection(host, port, login, insist=False), proxy, format_proxy(host, port))

    return NegotiatedEndpoint(reactor, endpoint, HostnameAddress(host.encode(), port), converse, seconds)


class _Conversation:
    def __init__(self, connection: ClientConnection, proxy: OutboundProxy, target: str) -> None:
        self._connection = connection
        self._name = f"the outbound proxy {proxy.name}"
        self._target = target

    @property
    def rest(self) -> bytes:
        return self._connection.rest

    def data_to_send(self) -> bytes:
        return self._connection.data_to_send()

    def receive_data(self, data: bytes) -> bool:
        match self._connection.receive_data(data):
            case Refused(code):
                meaning = _MEANING.get(code, "it failed")  # type: ignore[call-overload] # an IntEnum's keys are ints
                raise OutboundFailed(f"{self._name} does not connect to {self._target}: {meaning} (reply {code:#04x})")
            case LoginRefused(why):
                raise OutboundLoginFailed(
                    f"{self._name} lets us not in: {why}; the user stands in its URL, socks5://USER@HOST:PORT, and "
                    "the password in --outbound-proxy-password-file"
                )
            case ServerFailed(why):
                raise OutboundFailed(f"{self._name}: {printable(why)}")
            case event:
                return event is not None

    def ended(self, why: Failure) -> Exception:
        return OutboundFailed(f"{self._name} closed the connection without an answer")

    def too_slow(self, seconds: float) -> Exception:
        return OutboundFailed(f"{self._name} did not connect to {self._target} within {seconds:g} s")
