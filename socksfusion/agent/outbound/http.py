"""Out through an HTTP proxy, by CONNECT."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import __version__, limits
from socksfusion.agent import threads
from socksfusion.agent.outbound.authentication import Login
from socksfusion.agent.outbound.errors import OutboundFailed
from socksfusion.agent.outbound.settings import OutboundProxy
from socksfusion.identity.names import format_proxy
from socksfusion.log import printable
from socksfusion.negotiation import NegotiatedEndpoint
from socksfusion.wire.http_connect import Challenge, ConnectClient, LoginWanted, Opened, ProxyFailed, Refused

_PROGRAM = f"socksfusion-agent/{__version__}"

InThread: TypeAlias = Callable[[Callable[[], str]], "Deferred[str]"]
"""Runs a function in a thread."""


class _DialAgain(Exception):
    """The proxy wants a login and closes this connection."""

    def __init__(self, challenges: Sequence[Challenge]) -> None:
        super().__init__("the proxy closes its connection after each answer")
        self.challenges = challenges


@implementer(IStreamClientEndpoint)
class HttpProxyEndpoint:
    """``host`` and ``port`` through ``proxy``, which ``endpoint`` reaches.

    The proxy resolves a name. The conversation on one connection must end within ``seconds``. ``in_thread`` runs what
    may block: a library that asks for a Kerberos ticket waits for its servers.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        proxy: OutboundProxy,
        host: str,
        port: int,
        seconds: float,
        *,
        in_thread: InThread | None = None,
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._proxy = proxy
        self._host = host
        self._port = port
        self._seconds = seconds
        self._in_thread = in_thread or partial(threads.in_thread, reactor, name="login")

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """Fires with the factory's protocol once the proxy has connected; fails with an ``OutboundFailed``."""
        return self._dial(protocolFactory, _Attempt(self._proxy, self._host, self._port, self._in_thread), None)

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
            answer = attempt.answer(failure.value.challenges, reusable=False)
            return answer.addCallback(lambda authorization: self._dial(factory, attempt, authorization))

        return negotiated.connect(factory).addErrback(dial_again)


class _Attempt:
    """What one ``connect`` has said so far, over all its connections."""

    def __init__(self, proxy: OutboundProxy, host: str, port: int, in_thread: InThread) -> None:
        self.proxy = proxy
        self.host = host
        self.port = port
        self._login = Login(proxy)
        self._in_thread = in_thread
        self._requests = 1

    def answer(self, challenges: Sequence[Challenge], *, reusable: bool) -> "Deferred[str]":
        """The login of one more request (see :meth:`Login.answer`); ``OutboundFailed`` where there are too many."""
        self._requests += 1
        if self._requests > limits.OUTBOUND_REQUESTS:
            raise OutboundFailed(
                f"the outbound proxy {self.proxy.name} asks for a login again and again: ask who runs it"
            )
        return self._in_thread(lambda: self._login.answer(challenges, reusable=reusable))


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

    def receive_data(self, data: bytes) -> "bool | Deferred[bool]":
        match self._client.receive_data(data):
            case None:
                return False
            case Opened():
                return True
            case LoginWanted(challenges, reusable):
                if not reusable:
                    raise _DialAgain(challenges)
                return self._attempt.answer(challenges, reusable=True).addCallback(self._ask)
            case event:
                raise self._failed(event)

    def ended(self, why: Failure) -> Exception:
        event = self._client.receive_end()
        return _DialAgain(event.challenges) if isinstance(event, LoginWanted) else self._failed(event)

    def too_slow(self, seconds: float) -> Exception:
        return OutboundFailed(f"{self._name} did not connect to {self._target} within {seconds:g} s")

    def _ask(self, authorization: str) -> bool:
        self._client.ask(authorization)
        return False

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
