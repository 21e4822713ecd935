"""The ways to the Proxy: each of its addresses, directly or out through the network's own proxy."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.agent.outbound.errors import OutboundFailed
from socksfusion.agent.outbound.settings import OutboundProxy, WayOut, way_out
from socksfusion.errors import UsageError
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.names import format_proxy, parse_proxies
from socksfusion.identity.private_files import PrivateFileError, read_private
from socksfusion.log import printable
from socksfusion.options import install_hint


@dataclass(frozen=True, slots=True)
class Way:
    """One address of the Proxy and how it is reached."""

    host: str
    """The name or address that the Proxy's certificate must be for."""
    proxy: str
    """For people: ``HOST:PORT``, with the outbound proxy behind it where there is one."""
    endpoint: IStreamClientEndpoint
    """Reaches it."""
    seconds: float = limits.HANDSHAKE_SECONDS
    """How long all steps of a connection by it may take together."""
    outbound: OutboundProxy | None = None
    """The network's own proxy that leads there, where one does."""


def chosen_ways(reactor: Any, options: Mapping[str, Any], copy: AgentCopy) -> list[Way]:
    """The ways that the Agent's ``options``, its environment and its copy give; ``UsageError`` as of their parts."""
    out = way_out(options["outbound-proxy"], _outbound_password(options), os.environ)
    return make_ways(reactor, options["proxy"] or parse_proxies(copy.proxy), out, options["handshake"])


def _outbound_password(options: Mapping[str, Any]) -> str | None:
    if options["outbound-proxy-password-file"] is None:
        return None
    try:
        return read_private(Path(options["outbound-proxy-password-file"])).decode().partition("\n")[0].rstrip("\r")
    except PrivateFileError as error:
        raise UsageError(f"--outbound-proxy-password-file: {error}")
    except UnicodeDecodeError:
        raise UsageError("--outbound-proxy-password-file: the file is no text in UTF-8")


def make_ways(reactor: Any, addresses: Sequence[tuple[str, int]], out: WayOut, seconds: float) -> list[Way]:
    """A way for each (host, port), in this order; IPv6 and IPv4 are tried side by side (RFC 8305).

    ``seconds`` limits each connection attempt and each conversation with an outbound proxy. Raises ``UsageError`` where
    that can't be used as it is.
    """
    ways = []
    for host, port in addresses:
        proxy = out.to(host, port)
        name = format_proxy(host, port)
        if proxy is None:
            ways.append(Way(host, name, HostnameEndpoint(reactor, host, port, timeout=seconds), seconds))
        else:
            endpoint = _through(reactor, proxy, host, port, seconds)
            # time for both steps: which of them failed is what the network's admin has to know
            ways.append(Way(host, f"{name} (through {proxy.name})", endpoint, 2 * seconds, proxy))
    return ways


def _through(reactor: Any, proxy: OutboundProxy, host: str, port: int, seconds: float) -> IStreamClientEndpoint:
    there = _NamedEndpoint(HostnameEndpoint(reactor, proxy.host, proxy.port, timeout=seconds), proxy)
    if proxy.kind == "socks5":
        from socksfusion.agent.outbound.socks import socks_endpoint

        try:
            return socks_endpoint(reactor, there, proxy, host, port, seconds)
        except ValueError as error:
            raise UsageError(f"the outbound proxy {proxy.name}: {error}")
    try:
        from socksfusion.agent.outbound.http import HttpProxyEndpoint
    except ModuleNotFoundError as error:
        raise UsageError(f"the outbound proxy {proxy.name} needs the package {error.name}: {install_hint('agent')}")
    return HttpProxyEndpoint(reactor, there, proxy, host, port, seconds)


@implementer(IStreamClientEndpoint)
class _NamedEndpoint:
    """The way to an outbound proxy, whose failures say that it is this one which can't be reached."""

    def __init__(self, endpoint: IStreamClientEndpoint, proxy: OutboundProxy) -> None:
        self._endpoint = endpoint
        self._proxy = proxy

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        return self._endpoint.connect(protocolFactory).addErrback(self._named)

    def _named(self, failure: Failure) -> Failure:
        if failure.check(CancelledError, ConnectingCancelledError):
            return failure
        return Failure(
            OutboundFailed(
                f"no connection to the outbound proxy {self._proxy.name} ({printable(failure.getErrorMessage())}): is "
                "its address right, and does it run?"
            )
        )
