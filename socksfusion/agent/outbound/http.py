"""Out through an HTTP proxy, by CONNECT."""

from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import __version__, limits
from socksfusion.agent.outbound.authentication import Login
from socksfusion.agent.outbound.errors import OutboundFailed
from socksfusion.agent.outbound.settings import OutboundProxy
from socksfusion.identity.names import format_proxy
from socksfusion.log import printable
from socksfusion.negotiation import NegotiatedEndpoint
from socksfusion.wire.http_connect import ConnectClient, LoginWanted, Opened, ProxyFailed, Refused

_PROGRAM = f"socksfusion-agent/{__version__}"


class _DialAgain(Exception):
    """The proxy wants another request and closes this connection."""

    def __init__(self, authorization: str) -> None:
        super().__init__("the proxy closes its connection after each answer")
        self.authorization = authorization


@implementer(IStreamClientEndpoint)
class HttpProxyEndpoint:
    """``host`` and ``port`` through ``proxy``, which ``endpoint`` reaches.

    The proxy resolves a name. Every step of the conversation on one connection must end within ``seconds``.
    """

    def __init__(
        self, reactor: Any, endpoint: IStreamClientEndpoint, proxy: OutboundProxy, host: str, port: int, seconds: float
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._proxy = proxy
        self._host = host
        self._port = port
        self._seconds = seconds

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """Fires with the factory's protocol once the proxy has connected; fails with an ``OutboundFailed``."""
        return self._dial(protocolFactory, _Attempt(self._proxy, self._host, self._port), None)

    def _dial(self, factory: IProtocolFactory, attempt: "_Attempt", authorization: str | None) -> "Deferred[IProtocol]":
        negotiated = NegotiatedEndpoint(
            self._reactor,
            self._endpoint,
            HostnameAddress(self._host.encode(), self._port),
            lambda: _Conversation(attempt, authorization),
            self._seconds,
        )

        def dial_again(failure: Failure) -> "Deferred[IProtocol]":
            failure.trap(_DialAgain)
            assert isinstance(failure.value, _DialAgain)
            attempt.count()
            return self._dial(factory, attempt, failure.value.authorization)

        return negotiated.connect(factory).addErrback(dial_again)


class _Attempt:
    """What one ``connect`` has said so far, over all its connections."""

    def __init__(self, proxy: OutboundProxy, host: str, port: int) -> None:
        self.proxy = proxy
        self.host = host
        self.port = port
        self.login = Login(proxy)
        self.requests = 1

    def count(self) -> None:
        self.requests += 1
        if self.requests > limits.OUTBOUND_REQUESTS:
            raise OutboundFailed(
                f"the outbound proxy {self.proxy.name} asks for a login again and again: ask who runs it"
            )


class _Conversation:
    """What is said on one connection."""

    def __init__(self, attempt: _Attempt, authorization: str | None) -> None:
        self._attempt = attempt
        self._name = f"the outbound proxy {attempt.proxy.name}"
        self._target = format_proxy(attempt.host, attempt.port)
        self._client = ConnectClient(attempt.host, attempt.port, _PROGRAM)
        self._client.ask(authorization)

    @property
    def rest(self) -> bytes:
        return self._client.rest

    def data_to_send(self) -> bytes:
        return self._client.data_to_send()

    def receive_data(self, data: bytes) -> bool:
        match self._client.receive_data(data):
            case None:
                return False
            case Opened():
                return True
            case LoginWanted(challenges, reusable):
                authorization = self._attempt.login.answer(challenges, reusable=reusable)
                if not reusable:
                    raise _DialAgain(authorization)
                self._attempt.count()
                self._client.ask(authorization)
                return False
            case event:
                raise self._failed(event)

    def ended(self, why: Failure) -> Exception:
        event = self._client.receive_end()
        if not isinstance(event, LoginWanted):
            return self._failed(event)
        try:
            return _DialAgain(self._attempt.login.answer(event.challenges, reusable=False))
        except OutboundFailed as error:
            return error

    def too_slow(self, seconds: float) -> Exception:
        return OutboundFailed(f"{self._name} did not connect to {self._target} within {seconds:g} s")

    def _failed(self, event: object) -> OutboundFailed:
        match event:
            case Refused(status, reason):
                answer = f"{status} {printable(reason)}".strip()
                return OutboundFailed(f"{self._name} does not connect to {self._target}: {answer}{_advice(status)}")
            case ProxyFailed(why):
                return OutboundFailed(f"{self._name}: {printable(why)}")
        return OutboundFailed(f"{self._name} closed the connection")


def _advice(status: int) -> str:
    if status in (403, 405):
        return "; ask who runs it to allow CONNECT to that address and port"
    if status in (502, 503, 504):
        return "; it can't reach that address itself: is it right?"
    return ""
