"""Networks as people write them: CIDR or one address. They narrow what an Agent may reach, on every side."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from typing import Final, TypeAlias

from socksfusion import limits
from socksfusion.log import printable

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_MAPPED: Final = IPv6Network("::ffff:0:0/96")


def parse_network(text: str) -> Network:
    """The network that ``text`` names: CIDR or a single address; an IPv4-mapped one is the IPv4 network that it means.

    :raises ValueError: it is neither; the error's text begins with the network's and is for the user.
    """
    shown = printable(text)
    try:
        network = ip_network(text)
    except ValueError:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{shown}: not a network such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7") from None
        raise ValueError(f"{shown}: address bits behind the prefix length; did you mean {meant}?") from None
    if isinstance(network, IPv6Network):
        if network.network_address.scope_id is not None:
            raise ValueError(f"{shown}: an interface (%...) is not possible here")
        if network.subnet_of(_MAPPED):
            return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


@lru_cache(maxsize=limits.NARROWINGS_REMEMBERED)
def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """The networks that ``texts`` name, in their order; remembered, since a scan's many opens name the same ones.

    :raises ValueError: as :func:`parse_network`, for the first that is none.
    """
    return tuple(map(parse_network, texts))


def hold(networks: Iterable[Network], address: Address) -> bool:
    """Whether ``address`` lies in one of ``networks``."""
    return any(address in network for network in networks)


@lru_cache(maxsize=1024)
def intersected(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...] | None:
    """The networks that lie in both; an empty tuple stands for all of them, None for none.

    :raises ValueError: as :func:`parse_network`.
    """
    if not first or not second:
        return first or second
    version4: set[IPv4Network] = set()
    version6: set[IPv6Network] = set()
    for one in parse_networks(first):
        for other in parse_networks(second):
            if not one.overlaps(other):
                continue
            # of two networks that overlap one holds the other
            smaller = max(one, other, key=lambda network: network.prefixlen)
            if isinstance(smaller, IPv4Network):
                version4.add(smaller)
            else:
                version6.add(smaller)
    return (*map(str, collapse_addresses(version4)), *map(str, collapse_addresses(version6))) or None
