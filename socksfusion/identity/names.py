"""What an agent, a client, a Proxy's host and its address may be called."""

import ipaddress
import re
from collections.abc import Iterable

from socksfusion.errors import UsageError
from socksfusion.log import printable

AGENT_NAME_RULE = "1 to 64 of the characters a-z A-Z 0-9 . _ -, the first a letter or digit"
PROXY_PORT = 443
"""The port of a Proxy's address that names none."""

_AGENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
# a host whose last label is a number is an IPv4 address in some spelling, or nothing (WHATWG URL, "ends in a number")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")


def check_agent_name(name: str) -> str:
    """``name`` if an agent may have it; ``UsageError`` otherwise.

    The rule keeps names safe in file names, log lines, terminals, URLs and SOCKS user names alike.
    """
    return _check_name(name, "an agent's")


def check_client_name(name: str) -> str:
    """``name`` if a client's account may have it, by the same rule; ``UsageError`` otherwise."""
    return _check_name(name, "a client's")


def _check_name(name: str, whose: str) -> str:
    if not _AGENT_NAME.fullmatch(name):
        raise UsageError(f"'{printable(name)}' can't be {whose} name: take {AGENT_NAME_RULE}")
    return name


def check_host(host: str) -> str:
    """A host name or IP address in its usual spelling: lower case, no final dot, no brackets.

    Raises ``UsageError``.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    name = host.lower().removesuffix(".")
    if not _HOST_NAME.fullmatch(name) or _ENDS_IN_NUMBER.fullmatch(name):
        raise UsageError(
            f"'{printable(host)}' is neither a host name nor an IP address (names beyond ASCII go in their xn-- form)"
        )
    return name


def is_address(host: str) -> bool:
    """Whether ``host`` is a literal IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_proxy(text: str) -> tuple[str, int]:
    """``HOST``, ``HOST:PORT``, ``[IPV6]:PORT`` or a bare IPv6 address as (host, port); ``UsageError`` otherwise."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, port = text.split(":")
    else:
        host, port = text, None
    if port is None:
        return check_host(host), PROXY_PORT
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise UsageError(f"'{printable(text)}' is no HOST:PORT: the port is a number from 1 to 65535")
    return check_host(host), int(port)


def parse_proxies(text: str) -> tuple[tuple[str, int], ...]:
    """One address of a Proxy or several between commas, each as ``parse_proxy`` reads it; ``UsageError`` otherwise."""
    return tuple(parse_proxy(address.strip()) for address in text.split(","))


def format_proxies(addresses: Iterable[tuple[str, int]]) -> str:
    """What ``parse_proxies`` reads."""
    return ",".join(format_proxy(host, port) for host, port in addresses)


def format_proxy(host: str, port: int) -> str:
    """``host:port``, IPv6 in brackets: what ``parse_proxy`` reads."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
