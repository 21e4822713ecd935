"""Which addresses the Agent may dial: by default everything but its own host and what only means the local link.

The rules look at an address, never at a name: they are applied to the very literal that is then dialled (attacks.md,
rows C4 and C5), at every open (F1).
"""

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final, TypeAlias

from socksfusion.log import printable

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

OWN_HOST: Final = "own host"
NOT_LISTED: Final = "not in --allow"

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
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
# Prefixes whose last 32 bits are an IPv4 address: NAT64 (RFC 6052), its local-use prefix in the usual form (RFC 8215),
# IPv4-translated (RFC 2765), IPv4-compatible (RFC 4291, section 2.5.5.1)
_EMBEDDING: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))
_LOOPBACK: Final = IPv6Address("::1")
_NONLOCAL_BIND: Final = {
    4: Path("/proc/sys/net/ipv4/ip_nonlocal_bind"),
    6: Path("/proc/sys/net/ipv6/ip_nonlocal_bind"),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says of one address."""

    allowed: bool
    """Whether it may be dialled."""
    rule: str
    """The rule that decided."""
    address: str
    """The literal to dial: an IPv4-mapped address is the IPv4 address that it means."""


def parse_allow(text: str) -> Network:
    """The network that one ``--allow`` names: CIDR or a single address.

    :raises ValueError: it is neither; the text is for the user.
    """
    shown = printable(text)
    try:
        network = ip_network(text)
    except ValueError:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"--allow {shown}: not a network such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7") from None
        raise ValueError(f"--allow {shown}: address bits behind the prefix length; did you mean {meant}?") from None
    if isinstance(network, IPv6Network):
        if network.network_address.scope_id is not None:
            raise ValueError(f"--allow {shown}: an interface (%...) is not possible here")
        if network.subnet_of(_MAPPED):
            return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


# a scan asks for the ports of few hosts; what is no literal raises, and is not kept
_parse = lru_cache(maxsize=4096)(ip_address)


def literal(host: str) -> Address | None:
    """The address that ``host`` spells, or None where it is a name (``127.1`` is one: the resolver knows it)."""
    try:
        return _parse(host)
    except ValueError:
        return None


def owns_address(address: Address) -> bool:
    """Whether this machine has ``address`` now: a UDP socket can be bound to it.

    :raises OSError: it can't be told (no descriptor left).
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    text = socket.inet_ntop(family, address.packed)
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
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


def _forms(address: Address) -> Iterator[Address]:
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


class Policy:
    """The Agent's policy. ``allow`` is what ``--allow`` gave: once given it is the whole list; None is the default.

    A guarded range (own host, link-local, multicast, ...) is opened only by a rule that lies wholly inside it:
    ``127.0.0.0/8`` does, ``0.0.0.0/0`` does not. ``owns`` tells the machine's own addresses.
    """

    def __init__(
        self, allow: Sequence[Network] | None = None, *, owns: Callable[[Address], bool] = owns_address
    ) -> None:
        self.allow = None if allow is None else tuple(allow)
        self._owns = owns
        # a single address can't hold more than itself: it opens an address that the machine has
        self._openers = tuple(rule for rule in self.allow or () if rule.num_addresses == 1 or _lies_in_guarded(rule))

    def check(self, address: str) -> Decision:
        """Decide about one IPv4 or IPv6 literal.

        :raises ValueError: not a literal.
        :raises OSError: whether it is the machine's own can't be told now.
        """
        target = _parse(address)
        if isinstance(target, IPv6Address) and target.ipv4_mapped is not None:
            target = target.ipv4_mapped
        dialled = str(target)
        listed = "default"
        if self.allow is not None:
            rule = next((rule for rule in self.allow if target in rule), None)
            if rule is None:
                return Decision(False, NOT_LISTED, dialled)
            listed = str(rule)
        for form in _forms(target):
            guarded = self._guarded_by(form)
            if guarded is not None and not any(form in rule for rule in self._openers):
                return Decision(False, guarded, dialled)
        return Decision(True, listed, dialled)

    def _guarded_by(self, address: Address) -> str | None:
        for rule, network in _RANGES:
            if address in network:
                return rule
        return OWN_HOST if self._owns(address) else None


def _lies_in_guarded(rule: Network) -> bool:
    return any(
        rule.version == network.version and rule.subnet_of(network)  # type: ignore[arg-type]
        for _, network in _RANGES
    )
