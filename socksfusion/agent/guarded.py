"""Addresses that stay closed unless the admin opens them by name: the Agent's own host, and what means only its link.

They are told in every spelling: an IPv6 address that carries an IPv4 address is judged as both (attacks.md, row C4).
"""

import errno
import socket
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from socksfusion.networks import Address, Network

OWN_HOST: Final = "own host"

# The specific ranges stand before the general ones that hold them, so that a refusal names the right rule.
_GUARDED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (OWN_HOST, ("127.0.0.0/8", "::1/128")),
    ("unspecified", ("0.0.0.0/8", "::/128")),
    # the metadata services of clouds that don't stand at a link-local address: Amazon EC2 and Google (IPv6), Alibaba,
    # Azure's WireServer; what they tell belongs to the machine that asks
    ("cloud metadata", ("fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("broadcast", ("255.255.255.255/32",)),
)
_RANGES: Final = tuple((rule, ip_network(text)) for rule, texts in _GUARDED for text in texts)
# Prefixes whose last 32 bits are an IPv4 address: NAT64 (RFC 6052), its local-use prefix in the usual form (RFC 8215),
# IPv4-translated (RFC 2765), IPv4-compatible (RFC 4291, section 2.5.5.1)
_EMBEDDING: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))
_LOOPBACK: Final = IPv6Address("::1")
_NONLOCAL_BIND: Final = {
    4: Path("/proc/sys/net/ipv4/ip_nonlocal_bind"),
    6: Path("/proc/sys/net/ipv6/ip_nonlocal_bind"),
}


# a scan asks for the ports of few hosts; what is no literal raises, and is not kept
parse_literal = lru_cache(maxsize=4096)(ip_address)
"""The address that a text spells; ``ValueError`` where it is none."""


def literal(host: str) -> Address | None:
    """The address that ``host`` spells, or None where it is a name (``127.1`` is one: the resolver knows it)."""
    try:
        return parse_literal(host)
    except ValueError:
        return None


def owns_address(address: Address) -> bool:
    """Whether this machine has ``address`` now: a UDP socket can be bound to it.

    :raises OSError: it can't be told (no descriptor left).
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    text = socket.inet_ntop(family, address.packed)
    try:
        made = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        # a machine without IPv6 has none of its addresses; a name that has one of both kinds is still to be reached
        if error.errno == errno.EAFNOSUPPORT:
            return False
        raise
    with made as probe:
        try:
            probe.bind((text, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            if error.errno not in (errno.EACCES, errno.EPERM):
                raise
        else:
            if not _binds_anything(address.version):
                return True
    return _is_its_own_source(family, text)


def _binds_anything(version: int) -> bool:
    """Whether the kernel lets a socket be bound to addresses of others (usual beside a virtual-IP daemon)."""
    try:
        return _NONLOCAL_BIND[version].read_text().strip() != "0"
    except OSError:
        return False


def _is_its_own_source(family: socket.AddressFamily, text: str) -> bool:
    """Whether the kernel would talk to ``text`` from ``text``; connecting a UDP socket sends nothing."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((text, 9))
        except OSError:
            return False
        return bool(probe.getsockname()[0] == text)


def forms(address: Address) -> Iterator[Address]:
    """The address and every IPv4 address that a gateway or the kernel would take it for."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if int(address) > int(_LOOPBACK) and any(address in prefix for prefix in _EMBEDDING):
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def guarded_range(address: Address) -> str | None:
    """The guarded range that holds ``address``, by its name; the machine's own addresses are asked elsewhere."""
    for rule, network in _RANGES:
        if address in network:
            return rule
    return None


def lies_in_guarded(network: Network) -> bool:
    """Whether ``network`` lies wholly inside one guarded range."""
    return any(
        network.version == guarded.version and network.subnet_of(guarded)  # type: ignore[arg-type]
        for _, guarded in _RANGES
    )
