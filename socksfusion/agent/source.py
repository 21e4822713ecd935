"""The address that the Agent dials from, so that whoever watches the network can tell what comes from a scan.

A machine may get it late: it boots without a network, or by DHCP. Until then nothing is dialled, from no other address.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from socksfusion.agent.errors import ConnectFailed
from socksfusion.agent.guarded import literal, owns_address, parse_literal
from socksfusion.errors import UsageError
from socksfusion.log import make_logger, printable
from socksfusion.networks import Address

_log = make_logger()


class NoSource(ConnectFailed):
    """This machine hasn't got the address to dial from: nothing is known about the Target."""

    rule = "source"


@dataclass(frozen=True, slots=True)
class Sources:
    """At most one address a family; a family without one is dialled from where the system takes it.

    ``owns`` tells whether this machine has an address now.
    """

    four: str | None = None
    six: str | None = None
    owns: Callable[[Address], bool] = owns_address

    def towards(self, address: str) -> str | None:
        """The address to bind to before ``address``, a literal, is dialled; None: leave it to the system.

        It is looked for each time, since the kernel may let a socket be bound to what the machine hasn't got.

        :raises NoSource: the machine hasn't got it now.
        :raises OSError: it can't be told (no descriptor left).
        """
        source = self.six if ":" in address else self.four
        if source is not None and not self.owns(parse_literal(source)):
            raise NoSource(f"the Agent's machine has not got {source}, the address to dial from")
        return source


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
    """What ``--source`` asks for; what this machine hasn't got yet is told in the log.

    :raises UsageError: there are two of a family.
    """
    by_version: dict[int, str] = {}
    for address in addresses:
        if address.version in by_version:
            raise UsageError(f"--source may name one IPv4 and one IPv6 address, and {address} is a second")
        if not owns(address):
            _log.warn(
                "--source {address}: this machine has no such address now, and dials no target until it has; "
                "'ip address' shows what it has",
                address=address,
            )
        by_version[address.version] = str(address)
    return Sources(by_version.get(4), by_version.get(6), owns)
