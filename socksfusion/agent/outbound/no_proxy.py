"""NO_PROXY: the addresses that are reached directly."""

import ipaddress
import re
from dataclasses import dataclass

_PARTS = re.compile(r"[,\s]+")
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:]*):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class NoProxy:
    """The entries of NO_PROXY, each a (host, port) whose port may be None for any.

    | entry | what it means |
    |---|---|
    | ``*`` | everything |
    | ``example.org``, ``.example.org``, ``*.example.org`` | that name and all below it |
    | ``192.0.2.7``, ``2001:db8::7``, ``[2001:db8::7]`` | that address |
    | ``10.0.0.0/8`` | the addresses in it, where the host is written as an address: no name is looked up |
    | any of them with ``:PORT`` | that port alone |
    """

    entries: tuple[tuple[str, int | None], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "NoProxy":
        """Read the variable; entries that mean nothing match nothing."""
        found: list[tuple[str, int | None]] = []
        for entry in filter(None, _PARTS.split(text.lower())):
            matched = _WITH_PORT.fullmatch(entry)
            host, port = (matched[1], int(matched[2])) if matched else (entry, None)
            found.append((host.removeprefix("[").removesuffix("]"), port))
        return cls(tuple(found))

    def has(self, host: str, port: int) -> bool:
        """Whether ``host`` (a name, or an address without brackets) is an exception at ``port``."""
        return any(only in (None, port) and _matches(entry, host.lower()) for entry, only in self.entries)


def _matches(entry: str, host: str) -> bool:
    if entry == "*":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = entry.removeprefix("*").removeprefix(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
