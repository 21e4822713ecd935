"""Dialling: one TCP connection out of a Target's addresses, and the SOCKS reply that tells why there is none.

Addresses are literals that the policy has allowed; several are tried side by side (RFC 8305, "Happy Eyeballs").
"""

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any, Final
from typing import Protocol as Interface

from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall, ITCPTransport
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from socksfusion import descriptors, limits
from socksfusion.agent.errors import ConnectFailed
from socksfusion.agent.source import NO_SOURCES, NoSource, Sources
from socksfusion.log import make_logger
from socksfusion.tunnel.plain import prepare
from socksfusion.wire.socks5 import Reply

_log = make_logger()

# Linux turns ICMP into errno values (icmp_err_convert, ICMPv6's like it); ENOPROTOOPT is "protocol unreachable". A
# connection that is reset before we learn that it stands was accepted: the port is open.
_REPLIES: Final = {
    errno.ECONNRESET: Reply.SUCCEEDED,
    errno.ECONNABORTED: Reply.SUCCEEDED,
    errno.EPIPE: Reply.SUCCEEDED,
    errno.ECONNREFUSED: Reply.REFUSED,
    errno.ETIMEDOUT: Reply.TTL_EXPIRED,
    errno.EHOSTUNREACH: Reply.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Reply.HOST_UNREACHABLE,
    errno.ENOPROTOOPT: Reply.HOST_UNREACHABLE,
    errno.ENETUNREACH: Reply.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Reply.NETWORK_UNREACHABLE,
    errno.ENONET: Reply.NETWORK_UNREACHABLE,
    errno.EACCES: Reply.NOT_ALLOWED,
    errno.EPERM: Reply.NOT_ALLOWED,
}
# of the failures of several addresses the one that tells most about the Target is reported
_TELLING: Final = (
    Reply.SUCCEEDED,
    Reply.REFUSED,
    Reply.TTL_EXPIRED,
    Reply.HOST_UNREACHABLE,
    Reply.NETWORK_UNREACHABLE,
    Reply.NOT_ALLOWED,
    Reply.GENERAL_FAILURE,
)


class DialFailed(ConnectFailed):
    """No address gave a connection. ``reply`` is SUCCEEDED where the Target accepted one and reset it at once."""

    tried = True

    def __init__(self, reply: Reply, detail: str) -> None:
        super().__init__(detail)
        self.reply = reply
        if reply is Reply.GENERAL_FAILURE:
            self.rule = "dial"


class NoDescriptors(ConnectFailed):
    """Too many files are open here: nothing is known about the Target."""

    rule = "descriptors"


class DialReactor(Interface):
    """What dialling needs of the reactor."""

    def seconds(self) -> float:
        """IReactorTime's."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        """IReactorTime's."""

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = ...,
        bindAddress: tuple[str, int] | None = ...,
    ) -> IConnector:
        """IReactorTCP's."""


def failure_of(cause: BaseException | None) -> DialFailed:
    """What an error of a connection attempt means, by its errno: Twisted's classes tell only three of them apart."""
    number = getattr(cause, "osError", None) or getattr(cause, "errno", None)
    if number is None:
        if isinstance(cause, error.TimeoutError):
            return DialFailed(Reply.TTL_EXPIRED, "no answer in time")
        return DialFailed(Reply.GENERAL_FAILURE, f"{type(cause).__name__}: {cause}")
    name = errno.errorcode.get(number)
    if name is None:
        return DialFailed(Reply.GENERAL_FAILURE, str(cause))
    return DialFailed(_REPLIES.get(number, Reply.GENERAL_FAILURE), f"{os.strerror(number)} (errno={name})")


def _is_unexplained(cause: BaseException | None) -> bool:
    """Whether the reactor saw a hang-up before the kernel said why: a refused port, or one that accepted and reset."""
    # Twisted passes the reason for which it gave up the descriptor where the errno belongs
    return type(cause) is error.ConnectError and any(isinstance(reason, Failure) for reason in cause.args)


def alternate(addresses: Sequence[str]) -> list[str]:
    """The addresses with their families alternating, IPv6 first (RFC 8305, section 4), their order kept otherwise."""
    if len(addresses) == 1:
        return list(addresses)
    six = [address for address in addresses if ":" in address]
    four = [address for address in addresses if ":" not in address]
    return [address for address in chain.from_iterable(zip_longest(six, four)) if address is not None]


class Dialler:
    """Dials, from ``sources``; ``prepare`` is given each connected transport before anybody else (socket options)."""

    def __init__(
        self, reactor: DialReactor, prepare: Callable[[Any], None] = prepare, sources: Sources = NO_SOURCES
    ) -> None:
        self.reactor = reactor
        self.prepare = prepare
        self.sources = sources
        self.headroom = descriptors.for_work()

    def dial(self, addresses: Sequence[str], port: int, seconds: float) -> "Deferred[ITCPTransport]":
        """A connected transport of the first address that accepts, within ``seconds`` in all.

        The transport reads nothing before the Deferred has fired: who waits for it sets its protocol then. Fails with
        :class:`ConnectFailed`; cancelling ends every attempt. At most ``limits.ADDRESSES_PER_NAME`` are tried.
        """
        refused = self.headroom.refusal()
        if refused is not None:
            return fail(NoDescriptors(refused))
        tried = alternate(addresses)[: limits.ADDRESSES_PER_NAME]
        dial = _Dial(self, tried, port, seconds)
        dial.start()
        return dial.result


class _Dial:
    """One call of :meth:`Dialler.dial`, driven by its attempts' ends, the delay between them, and cancelling."""

    __slots__ = (
        "_addresses",
        "_attempts",
        "_deadline",
        "_delay",
        "_dialler",
        "_failure",
        "_port",
        "_reactor",
        "result",
    )

    def __init__(self, dialler: Dialler, addresses: Sequence[str], port: int, seconds: float) -> None:
        self._dialler = dialler
        self._reactor = dialler.reactor
        self._addresses = deque(addresses)
        self._port = port
        self._deadline = dialler.reactor.seconds() + seconds
        self._attempts: set[_Attempt] = set()
        self._delay: IDelayedCall | None = None
        self._failure: ConnectFailed = DialFailed(Reply.GENERAL_FAILURE, "no address to dial")
        self.result: Deferred[ITCPTransport] = Deferred(self._stop)

    def start(self) -> None:
        """Begin the next attempt, and have the one after it begin in time."""
        self._cancel_delay()
        address = self._addresses.popleft()
        if self._addresses:
            self._delay = self._reactor.callLater(limits.ATTEMPT_DELAY_SECONDS, self.start)
        self._attempt(address)

    def again(self, attempt: "_Attempt") -> None:
        """The outcome of an attempt got lost: only another one tells whether the port is open or closed."""
        attempt.forget()
        self._attempts.discard(attempt)
        self._attempt(attempt.address, attempt.number + 1)

    def _attempt(self, address: str, number: int = 1) -> None:
        attempt = _Attempt(self, address, number)
        self._attempts.add(attempt)
        # each attempt may take what is left, so all of them end with the dial and no timer of its own is needed
        left = max(0.0, self._deadline - self._reactor.seconds())
        try:
            source = self._dialler.sources.towards(address)
            bound = None if source is None else (source, 0)
            attempt.connector = self._reactor.connectTCP(address, self._port, attempt, timeout=left, bindAddress=bound)
        except NoSource as failure:
            self.failed(attempt, failure)
        except (OSError, ValueError) as cause:
            # an IPv6 literal with an interface that is not there
            self.failed(attempt, failure_of(cause))

    def won(self, attempt: "_Attempt", transport: Any) -> None:
        """An attempt has connected."""
        if _is_connected_to_itself(transport):
            transport.abortConnection()
            self.failed(attempt, DialFailed(Reply.REFUSED, "nobody listens: the connection met itself"))
            return
        attempt.forget()
        self._attempts.discard(attempt)
        self._stop()
        self._dialler.prepare(transport)
        self.result.callback(transport)

    def failed(self, attempt: "_Attempt", failure: ConnectFailed) -> None:
        """An attempt has failed: the next begins at once."""
        attempt.forget()
        self._attempts.discard(attempt)
        if _TELLING.index(failure.reply) <= _TELLING.index(self._failure.reply):
            self._failure = failure
        if self._addresses and self._reactor.seconds() < self._deadline:
            self.start()
        elif not self._attempts:
            self._cancel_delay()
            self.result.errback(self._failure)

    def _stop(self, _result: object = None) -> None:
        self._cancel_delay()
        attempts, self._attempts = self._attempts, set()
        for attempt in attempts:
            attempt.cancel()

    def _cancel_delay(self) -> None:
        if self._delay is not None and self._delay.active():
            self._delay.cancel()
        self._delay = None


class _Attempt(ClientFactory):
    """One connection attempt; it forgets its dial when it has ended, as its connection keeps it for life."""

    noisy = False

    def __init__(self, dial: _Dial, address: str, number: int) -> None:
        self.dial: _Dial | None = dial
        self.address = address
        self.number = number
        self.connector: IConnector | None = None

    def buildProtocol(self, addr: IAddress | None) -> "_Connected | None":
        """The kernel says that the connection stands."""
        return None if self.dial is None else _Connected(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Twisted says why it does not."""
        if self.dial is None:
            return
        if _is_unexplained(reason.value) and self.number < limits.UNEXPLAINED_ATTEMPTS:
            self.dial.again(self)
        else:
            self.dial.failed(self, failure_of(reason.value))

    def forget(self) -> None:
        """It is over for the dial."""
        self.dial = self.connector = None

    def cancel(self) -> None:
        """End the attempt; nobody hears of it again."""
        connector = self.connector
        self.forget()
        if connector is not None:
            connector.stopConnecting()


class _Connected(Protocol):
    """Stands in for the protocol that whoever dialled will set."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt

    def connectionMade(self) -> None:
        """The transport is ready."""
        dial = self._attempt.dial
        if dial is None:
            return
        try:
            dial.won(self._attempt, self.transport)
        except Exception as cause:
            _log.failure("a connection to a target could not be set up")
            self.transport.abortConnection()  # type: ignore[union-attr]
            dial.failed(self._attempt, failure_of(cause))


def _is_connected_to_itself(transport: Any) -> bool:
    """Whether a dial to this machine got the port that it dials as its own: TCP connects that without a listener."""
    host, peer = transport.getHost(), transport.getPeer()
    return bool(host.port == peer.port and host.host == peer.host)
