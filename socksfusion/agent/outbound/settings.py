"""Which proxy of the network the Agent goes out through: its URL, from an option or from the usual variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal
from urllib.parse import unquote

from socksfusion.agent.outbound.no_proxy import NoProxy
from socksfusion.errors import UsageError
from socksfusion.identity.names import check_host, format_proxy

NONE: Final = "none"
"""Instead of a URL: go out directly, whatever the variables say."""

_PORTS: Final = {"http": 80, "socks5": 1080, "socks5h": 1080}
_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""In the order in which they count: the Agent's connection is TLS, and a lower-case name wins, as with curl."""

_THIS_MACHINE: Final = "localhost 127.0.0.0/8 ::1"

Kind = Literal["http", "socks5"]


@dataclass(frozen=True, slots=True)
class OutboundProxy:
    """A proxy of the network; no ``repr`` shows its login."""

    kind: Kind
    host: str
    """Name or address, without brackets."""
    port: int
    user: str | None = field(default=None, repr=False)
    """As the proxy wants it, ``DOMAIN\\user`` too."""
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """For people: its URL without the login."""
        return f"{self.kind}://{format_proxy(self.host, self.port)}"

    def with_password(self, password: str) -> "OutboundProxy":
        """The same with this password; ``UsageError`` where the URL names no user."""
        if self.user is None:
            raise UsageError(f"a password for {self.name}, and no user: write the user in its URL, http://USER@HOST")
        return replace(self, password=password)


def parse_url(text: str) -> OutboundProxy:
    r"""A URL such as ``http://proxy.example:3128``, ``socks5://USER:PASSWORD@HOST`` or just ``HOST:PORT``.

    The user may be ``DOMAIN\user``; percent-encoded characters are taken as what they stand for. Raises
    ``UsageError``, whose text has nothing of the login.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise UsageError(f"an outbound proxy of kind {scheme!r} is not supported: http, socks5 and none are")
    login, at, place = rest.rpartition("@")
    place = place.rstrip("/")
    if re.search(r"[/?#]", place):
        raise UsageError("an outbound proxy is SCHEME://HOST:PORT, without anything after the port")
    matched = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?", place)
    port = int(matched[2]) if matched and matched[2] else _PORTS[scheme]
    if not matched or not 1 <= port <= 65535:
        raise UsageError("the outbound proxy's address is not HOST:PORT")
    host = check_host(matched[1].removeprefix("[").removesuffix("]"))
    user, colon, password = login.partition(":")
    return OutboundProxy(
        "http" if scheme == "http" else "socks5",
        host,
        port,
        unquote(user) if at else None,
        unquote(password) if colon else None,
    )


def parse_option(text: str) -> OutboundProxy | Literal["none"]:
    """The option's value. A password in it raises ``UsageError``: everybody on the machine can read command lines."""
    if text == NONE:
        return NONE
    proxy = parse_url(text)
    if proxy.password is not None:
        raise UsageError("a password can be read by others there: put it into --outbound-proxy-password-file FILE")
    return proxy


@dataclass(frozen=True, slots=True)
class WayOut:
    """How each address is reached: through ``proxy``, directly where that is None or ``exceptions`` has the address."""

    proxy: OutboundProxy | None
    exceptions: NoProxy = field(default_factory=NoProxy)

    def to(self, host: str, port: int) -> OutboundProxy | None:
        """The proxy for this address; None for a direct connection."""
        return None if self.exceptions.has(host, port) else self.proxy


def way_out(
    option: OutboundProxy | Literal["none"] | None, password: str | None, environment: Mapping[str, str]
) -> WayOut:
    """What option and environment say together. An option is a decision: NO_PROXY doesn't count beside it.

    ``UsageError`` for a variable that can't be used, or a password without a proxy.
    """
    found = from_environment(environment) if option is None else WayOut(None if option == NONE else option)
    if password is None:
        return found
    if found.proxy is None:
        raise UsageError("--outbound-proxy-password-file says nothing without an outbound proxy")
    return replace(found, proxy=found.proxy.with_password(password))


def from_environment(environment: Mapping[str, str]) -> WayOut:
    """HTTPS_PROXY and ALL_PROXY, in either case, with NO_PROXY's exceptions; an empty one is none.

    This machine itself is always an exception: no proxy of the network leads to it.
    """
    for name in _VARIABLES:
        value = environment.get(name, "").strip()
        if value:
            exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
            try:
                return WayOut(parse_url(value), NoProxy.parse(f"{_THIS_MACHINE} {exceptions}"))
            except UsageError as error:
                raise UsageError(f"the variable {name}: {error}; --outbound-proxy none goes out without it")
    return WayOut(None)
