"""The address that the Agent dials from, so that whoever watches the network can tell what comes from a scan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from socksfusion.agent.guarded import literal, owns_address
from socksfusion.errors import UsageError
from socksfusion.log import printable
from socksfusion.networks import Address


@dataclass(frozen=True, slots=True)
class Sources:
    """At most one address a family; a family without one is dialled from where the system takes it."""

    four: str | None = None
    six: str | None = None

    def towards(self, address: str) -> str | None:
        """The address to bind to before ``address``, a literal, is dialled; None: leave it to the system."""
        return self.six if ":" in address else self.four


NO_SOURCES: Final = Sources()
"""Wherever the system dials from."""


def parse_source(text: str) -> Address:
    """The address that one ``--source`` names; ``ValueError`` tells the user what is wrong."""
    address = literal(text)
    if address is None:
        raise ValueError(f"{printable(text)} is no IPv4 or IPv6 address")
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.ipv4_mapped is not None):
        raise ValueError(f"{printable(text)} must be written without an interface, an IPv4 address without ::ffff:")
    return address


def chosen_sources(addresses: Sequence[Address], *, owns: Callable[[Address], bool] = owns_address) -> Sources:
    """What ``--source`` asks for, checked against this machine.

    :raises UsageError: there are two of a family, or the machine has not got one of them.
    """
    by_version: dict[int, str] = {}
    for address in addresses:
        if address.version in by_version:
            raise UsageError(f"--source may name one IPv4 and one IPv6 address, and {address} is a second")
        if not owns(address):
            raise UsageError(f"--source {address}: this machine has no such address; 'ip address' shows what it has")
        by_version[address.version] = str(address)
    return Sources(by_version.get(4), by_version.get(6))
