"""Endpoints that reach a target through a Proxy's SOCKS port."""

from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.client.errors import LoginRefused, OpenFailed, ProxyFailed, from_reply
from socksfusion.identity.names import format_proxy
from socksfusion.log import printable
from socksfusion.negotiation import NegotiatedEndpoint
from socksfusion.wire import socks5_client
from socksfusion.wire.socks5_client import ClientConnection, Login


class Proxy:
    """A Proxy's SOCKS port, and under which login it is used.

    ``host`` and ``port`` name its clients' listener. ``login`` says which agent is meant (RFC 1929): user name
    ``agent`` or ``client@agent``, password its token; :meth:`login_for` makes one. Without it the port alone must name
    the agent. ``tls`` verifies and encrypts the way to the Proxy, made by ``twisted.internet.ssl.optionsForClientTLS``;
    None is plain TCP, on which a login can be read by whoever carries it. ``seconds`` limit the wait for a reply.
    """

    def __init__(
        self,
        reactor: Any,
        host: str = "127.0.0.1",
        port: int = 1080,
        *,
        login: Login | None = None,
        tls: IOpenSSLClientConnectionCreator | None = None,
        seconds: float = limits.CLIENT_OPEN_SECONDS,
    ) -> None:
        self._reactor = reactor
        self._login = login
        self._seconds = seconds
        self._name = f"the Proxy at {printable(format_proxy(host, port))}"
        endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, host, port)
        self._endpoint: IStreamClientEndpoint = endpoint if tls is None else wrapClientTLS(tls, endpoint)

    def __repr__(self) -> str:
        return f"<{self._name}>"

    @staticmethod
    def login_for(agent: str, token: str, client: str | None = None) -> Login:
        """The login for ``agent``: with its own token, or with that of a ``client`` who may use it."""
        return Login(agent if client is None else f"{client}@{agent}", token)

    def target(self, host: str, port: int) -> "SocksFusionEndpoint":
        """The endpoint of a target. A name is resolved by the Agent, never here."""
        return SocksFusionEndpoint(self, host, port)

    def _negotiated(self, host: str, port: int) -> NegotiatedEndpoint:
        target = printable(format_proxy(host, port))

        def converse() -> _Conversation:
            return _Conversation(ClientConnection(host, port, self._login), target, self._name)

        converse()  # a host that can't be asked for is the caller's mistake, told now
        return NegotiatedEndpoint(self._reactor, self._endpoint, _address(host, port), converse, self._seconds)

    def _unreachable(self, failure: Failure) -> Failure:
        """What Twisted tells of the way to the Proxy must not be taken for the target's."""
        if failure.check(OpenFailed, CancelledError, ConnectingCancelledError):
            return failure
        return Failure(ProxyFailed(f"no connection to {self._name}: {printable(failure.getErrorMessage())}"))


@implementer(IStreamClientEndpoint)
class SocksFusionEndpoint:
    """``host`` and ``port`` as the Agent behind ``proxy`` reaches them.

    ``ValueError`` for a host that can't be asked for.
    """

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self._proxy = proxy
        self._target = printable(format_proxy(host, port))
        self._endpoint = proxy._negotiated(host, port)

    def __repr__(self) -> str:
        return f"<{self._target} through {self._proxy!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """Fires with the protocol once the target has accepted; fails with an ``OpenFailed``."""
        return self._endpoint.connect(protocolFactory).addErrback(self._proxy._unreachable)


class _Conversation:
    """SOCKS5 as a conversation whose failures are this package's errors."""

    def __init__(self, connection: ClientConnection, target: str, proxy: str) -> None:
        self._connection = connection
        self._target = target
        self._proxy = proxy

    @property
    def rest(self) -> bytes:
        return self._connection.rest

    def data_to_send(self) -> bytes:
        return self._connection.data_to_send()

    def receive_data(self, data: bytes) -> bool:
        match self._connection.receive_data(data):
            case socks5_client.Refused(code):
                raise from_reply(code, self._target)
            case socks5_client.LoginRefused(why):
                raise LoginRefused(f"{self._target}: not tested, {self._proxy} let us not in: {why}")
            case socks5_client.ServerFailed(why):
                raise ProxyFailed(f"{self._target}: not tested, {self._proxy}: {printable(why)}")
            case event:
                return event is not None

    def ended(self, why: Failure) -> Exception:
        return ProxyFailed(
            f"{self._target}: not tested, {self._proxy} ended the connection ({printable(why.getErrorMessage())})"
        )

    def too_slow(self, seconds: float) -> Exception:
        return ProxyFailed(f"{self._target}: not tested, {self._proxy} did not answer within {seconds:g} s")


def _address(host: str, port: int) -> IAddress:
    if isIPAddress(host):
        return IPv4Address("TCP", host, port)
    return IPv6Address("TCP", host, port) if isIPv6Address(host) else HostnameAddress(host.encode(), port)
