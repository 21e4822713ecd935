"""Endpoint strings: who can reach a listener, and Twisted's endpoint for it with our defaults.

The grammar is that of ``twisted.internet.endpoints.serverFromString``: parts between colons, a part with an equals sign
is a named one, a backslash takes the next character as it is.
"""

import ipaddress
import os
import socket

from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IReactorCore, IStreamServerEndpoint

from socksfusion import limits
from socksfusion.errors import UsageError

_INTERFACES = {"tcp": "127.0.0.1", "tcp6": "::1"}
_WITH_BACKLOG = ("tcp", "tcp6", "unix")


class EndpointError(UsageError):
    """An endpoint string that can't be used; the text says why."""


def server(reactor: IReactorCore, text: str) -> IStreamServerEndpoint:
    """Twisted's endpoint for ``text`` with a backlog of ``limits.LISTEN_BACKLOG`` unless the text gives one.

    Raises ``EndpointError`` for a text that Twisted doesn't understand.
    """
    kind, arguments = _parse(text)
    if kind in _WITH_BACKLOG and "backlog" not in arguments:
        text = f"{text}:backlog={limits.LISTEN_BACKLOG}"
    return _from_string(reactor, text)


def checked(text: str) -> str:
    """``text``, when Twisted understands it; else ``EndpointError``."""
    _parse(text)
    _from_string(None, text)
    return text


def reaches_this_host_only(text: str) -> bool:
    """Whether nobody off this host can reach a listener on ``text``; ``EndpointError`` where that can't be told.

    Judged are ``tcp`` and ``tcp6`` by a literal address (a name may mean anything, none means every interface),
    ``unix`` (always this host) and ``systemd`` by the address of the very socket that was handed over.
    """
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


def loopback_by_default(text: str) -> str:
    """``text`` with the loopback interface where it is TCP and names none."""
    kind, arguments = _parse(text)
    if kind in _INTERFACES and not arguments.get("interface"):
        if "interface" in arguments:
            raise EndpointError(f"{text!r}: the interface is empty; write 0.0.0.0 or :: to serve every interface")
        return f"{text}:interface={quoteStringArgument(_INTERFACES[kind])}"
    return text


def _from_string(reactor: IReactorCore | None, text: str) -> IStreamServerEndpoint:
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except Exception as error:  # what Twisted's parsers raise depends on the kind
        raise EndpointError(f"{text!r} is not an endpoint: {error}") from error
    return endpoint


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
    if kind in _INTERFACES and len(unnamed) > 2:
        raise EndpointError(f"{text!r}: write what follows the port by name, such as interface=127.0.0.1")
    return kind, named


def _inherited_socket_is_local(text: str) -> bool:
    descriptor: int = _from_string(None, text).fileno  # type: ignore[attr-defined] # an adopted socket
    try:
        with socket.socket(fileno=os.dup(descriptor)) as handed:
            if handed.family == socket.AF_UNIX:
                return True
            return ipaddress.ip_address(handed.getsockname()[0]).is_loopback
    except (ValueError, OSError) as error:
        raise EndpointError(f"{text!r}: the socket that was handed over can't be judged: {error}") from error
