"""Endpoint strings: who can reach a listener, and Twisted's endpoint for it with our defaults.

The grammar is that of ``twisted.internet.endpoints.serverFromString``: parts between colons, a part with an equals sign
is a named one, a backslash takes the next character as it is.
"""

import errno
import ipaddress
import os
import socket

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorCore, IStreamServerEndpoint
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.errors import ListenError, UsageError

_INTERFACES = {"tcp": "127.0.0.1", "tcp6": "::1", "ssl": "127.0.0.1"}
_WITH_BACKLOG = ("tcp", "tcp6", "ssl", "unix")
_AROUND = "haproxy"
"""The kind that reads a PROXY header and leaves all else to the endpoint whose text follows."""


class EndpointError(UsageError):
    """An endpoint string that can't be used; the text says why."""


def server(reactor: IReactorCore, text: str) -> IStreamServerEndpoint:
    """Twisted's endpoint for ``text`` with a backlog of ``limits.LISTEN_BACKLOG`` unless the text gives one.

    Raises ``EndpointError`` for a text that Twisted doesn't understand.
    """
    kind, arguments = _parse(_within(text))
    if kind in _WITH_BACKLOG and "backlog" not in arguments:
        text = f"{text}:backlog={limits.LISTEN_BACKLOG}"
    endpoint = _from_string(reactor, text)
    if _parse(text)[0] == _AROUND:
        return _BehindProxyHeader(_from_string(reactor, _within(text)))
    return endpoint


class _HeaderReader(HAProxyProtocolWrapper):
    """Twisted's, without its errors for a port or an address that is none: such a header is as good as none."""

    def dataReceived(self, data: bytes) -> None:
        """The header, and what follows it."""
        try:
            super().dataReceived(data)
        except ValueError:
            if self._proxyInfo is not None:  # it is of what follows
                raise
            self.loseConnection()  # type: ignore[no-untyped-call]


class _HeaderReaders(HAProxyWrappingFactory):
    protocol = _HeaderReader  # type: ignore[assignment]  # Twisted's annotation is narrower than what it does
    noisy = False


@implementer(IStreamServerEndpoint)
class _BehindProxyHeader:
    """The endpoint ``within`` for Clients whose bytes begin with a PROXY header."""

    def __init__(self, within: IStreamServerEndpoint) -> None:
        self._within = within

    def listen(self, factory: IProtocolFactory) -> "Deferred[IListeningPort]":
        """Serve ``factory`` behind the header."""
        listening: Deferred[IListeningPort] = self._within.listen(_HeaderReaders(factory))  # type: ignore[no-untyped-call]
        return listening


def checked(text: str) -> str:
    """``text``, when Twisted understands it; else ``EndpointError``."""
    _parse(text)
    _from_string(None, text)
    return text


def reaches_this_host_only(text: str) -> bool:
    """Whether nobody off this host can reach a listener on ``text``; ``EndpointError`` where that can't be told.

    Judged are ``tcp``, ``tcp6`` and ``ssl`` by a literal address (a name may mean anything, none means every
    interface), ``unix`` (always this host), ``systemd`` by the address of the very socket that was handed over, and
    ``haproxy`` by what it stands before.
    """
    text = _within(text)
    kind, arguments = _parse(text)
    if kind == "unix":
        return True
    if kind == "systemd":
        return _inherited_socket_is_local(text)
    if kind not in _INTERFACES:
        raise EndpointError(f"{text!r}: whom an endpoint of type {kind!r} serves can't be told")
    interface = arguments.get("interface", "")
    if not interface:
        return False
    try:
        address = ipaddress.ip_address(interface)
    except ValueError:
        raise EndpointError(f"{text!r}: the interface must be an address such as {_INTERFACES[kind]}") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def is_layered(text: str) -> bool:
    """Whether Twisted wraps a factory that serves on ``text``; then what its ``buildProtocol`` gives is wrapped too."""
    return _parse(text)[0] in (_AROUND, "ssl")


def loopback_by_default(text: str) -> str:
    """``text`` with the loopback interface where it is TCP and names none."""
    kind, arguments = _parse(text)
    if kind in _INTERFACES and not arguments.get("interface"):
        if "interface" in arguments:
            raise EndpointError(f"{text!r}: the interface is empty; write 0.0.0.0 or :: to serve every interface")
        return f"{text}:interface={quoteStringArgument(_INTERFACES[kind])}"
    return text


class Listener(Service):
    """Serves ``factory`` on the endpoint ``text``; ``port`` is Twisted's listening port while it is open.

    Starting raises ``ListenError`` where the endpoint can't be opened.
    """

    def __init__(self, reactor: IReactorCore, text: str, factory: IProtocolFactory) -> None:
        self.port: IListeningPort | None = None
        self._text = text
        self._endpoint = server(reactor, text)
        self._factory = factory

    def privilegedStartService(self) -> None:
        """Open the endpoint, before root's rights are given up."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._open()

    def startService(self) -> None:
        """Open the endpoint unless ``privilegedStartService`` did."""
        super().startService()  # type: ignore[no-untyped-call]
        if self.port is None:
            self._open()

    def _open(self) -> None:
        failures: list[Failure] = []
        self._endpoint.listen(self._factory).addCallbacks(self._opened, failures.append)
        if failures:
            raise ListenError(f"can't listen on {self._text}: {_why(self._text, failures[0].value)}")

    def _opened(self, port: IListeningPort) -> None:
        self.port = port

    def stopService(self) -> "Deferred[None]":
        """Close the endpoint; connections go on."""
        super().stopService()  # type: ignore[no-untyped-call]
        port, self.port = self.port, None
        if port is None:
            return succeed(None)
        closing: Deferred[None] = maybeDeferred(port.stopListening)  # type: ignore[call-overload]
        return closing


def _from_string(reactor: IReactorCore | None, text: str) -> IStreamServerEndpoint:
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except Exception as error:  # what Twisted's parsers raise depends on the kind
        reason = "a number is wrong" if "invalid literal" in str(error) else str(error)
        raise EndpointError(f"{text!r} is not an endpoint such as tcp:8443: {reason}") from error
    return endpoint


def _within(text: str) -> str:
    """The endpoint that does the listening."""
    while _parse(text)[0] == _AROUND:
        # its name holds no colon, so the first one ends it
        text = text.partition(":")[2]
    return text


def _parse(text: str) -> tuple[str, dict[str, str]]:
    """The kind and its named arguments. After a TCP port everything must be named: Twisted's order differs by kind."""
    parts: list[list[str]] = [[""]]
    characters = iter(text)
    for character in characters:
        if character == ":":
            parts.append([""])
        elif character == "=" and len(parts[-1]) == 1:
            parts[-1].append("")
        elif character == "\\":
            following = next(characters, None)
            if following is None:
                raise EndpointError(f"{text!r} ends in a backslash")
            parts[-1][-1] += following
        else:
            parts[-1][-1] += character
    unnamed = [part[0] for part in parts if len(part) == 1]
    named = {part[0]: part[1] for part in parts if len(part) == 2}
    if not unnamed or len(parts[0]) == 2:
        raise EndpointError(f"{text!r} names no type of endpoint, such as tcp or unix")
    kind = unnamed[0]
    if kind == _AROUND and parts[1:2] in ([], [[""]]):
        raise EndpointError(f"{text!r} names no endpoint behind {_AROUND}:, such as {_AROUND}:tcp:1080")
    if kind in _INTERFACES and len(unnamed) > 2:
        raise EndpointError(f"{text!r}: write what follows the port by name, such as interface=127.0.0.1")
    return kind, named


def _inherited_socket_is_local(text: str) -> bool:
    descriptor: int = _from_string(None, text).fileno  # type: ignore[attr-defined] # an adopted socket
    try:
        with socket.socket(fileno=os.dup(descriptor)) as handed:
            if handed.family == getattr(socket, "AF_UNIX", None):
                return True
            return ipaddress.ip_address(handed.getsockname()[0]).is_loopback
    except (ValueError, OSError) as error:
        raise EndpointError(f"{text!r}: the socket that was handed over can't be judged: {error}") from error


def _why(text: str, error: BaseException | None) -> str:
    cause = error.socketError if isinstance(error, CannotListenError) else error
    number = cause.errno if isinstance(cause, OSError) else None
    reason = os.strerror(number) if number else str(cause)
    if number == errno.EADDRINUSE:
        return f"{reason}; end the program that has it (ss -ltnp shows it) or give another endpoint"
    if number == errno.EACCES and not text.startswith("unix"):
        return f"{reason}; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"
    return reason
