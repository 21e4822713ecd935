"""Rules of the Agent's policy: allow or deny, where, which ports; of several the first that fits decides.

A rule by network looks at the address that is dialled, a rule by name at the name that was asked for. A guarded range
is opened only by a rule that lies wholly inside one, or is one address: ``0.0.0.0/0`` is what people write for
*everything*, and must not open loopback by accident.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from socksfusion.agent.guarded import lies_in_guarded
from socksfusion.log import printable
from socksfusion.networks import Address, Network, parse_network

ANYWHERE: Final = "any"
_EXAMPLE: Final = "write it like: allow 10.20.0.0/16 port 22, 443"
_LINE: Final = re.compile(r"(allow|deny)\s+(\S+)(?:\s+in\s+(\S+))?(?:\s+ports?\s+(.+))?")
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?")
# a letter in it: 10.20.* is a network in a spelling that we don't read, and no name
_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?=.*[a-z])[a-z0-9_*-]+(?:\.[a-z0-9_*-]+)*")


@dataclass(frozen=True)
class Rule:
    """One rule."""

    allows: bool
    label: str
    """What names it in a log line and to the Proxy: ``policy line 3``."""
    text: str
    """The rule as it was written, for its author."""
    network: Network | None = None
    """Where the dialled address must lie; None: anywhere."""
    name: str | None = None
    """A pattern for the asked name, in lower case, in which ``*`` stands for anything; None: whatever was asked."""
    ports: tuple[range, ...] = ()
    """The ports, of TCP and UDP alike; empty: every port."""

    def fits(self, forms: Sequence[Address], port: int, name: str) -> bool:
        """Whether the rule speaks about that request.

        ``forms`` are the dialled address and, after it, the addresses that a gateway or the kernel would take it for: a
        rule that denies looks at all of them, one that allows at the first. ``name`` is what :func:`plain_name` gives,
        or empty where an address was asked for.
        """
        if self.ports and not any(port in ports for ports in self.ports):
            return False
        network = self.network
        if network is not None and not any(form in network for form in (forms[:1] if self.allows else forms)):
            return False
        return self.name is None or self._pattern.fullmatch(name) is not None

    @cached_property
    def opens_guarded(self) -> bool:
        """Whether it can open a guarded range."""
        network = self.network
        # a single address can't hold more than itself: it opens an address that the machine has
        return self.allows and network is not None and (network.num_addresses == 1 or lies_in_guarded(network))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # unlike one of our own making, this expression takes no more than linear time for a hostile name
        return re.compile(fnmatch.translate(self.name or ""))


@dataclass(frozen=True)
class Rules:
    """The admin's rules in their order. What none of them speaks about is denied."""

    rules: tuple[Rule, ...]
    unlisted: str
    """What names that denial in a log line and to the Proxy."""

    def first(self, forms: Sequence[Address], port: int, name: str) -> Rule | None:
        """The rule that decides about an address; see :meth:`Rule.fits`."""
        for rule in self.rules:
            if rule.fits(forms, port, name):
                return rule
        return None

    def first_for_guarded(self, form: Address, port: int, name: str) -> Rule | None:
        """The rule that decides about an address in a guarded range, where a wider one that allows has no say."""
        for rule in self.rules:
            if (rule.opens_guarded or not rule.allows) and rule.fits((form,), port, name):
                return rule
        return None


def allow_list(networks: Iterable[Network]) -> Rules:
    """The rules that ``--allow`` gives."""
    rules = (Rule(True, str(network), f"--allow {network}", network) for network in networks)
    return Rules(tuple(rules), "not in --allow")


def plain_name(host: str) -> str:
    """The asked name as rules compare it: lower case, ASCII (``xn--`` form), without the root's dot.

    A name that has no such form is no name that could be looked up either; it stays as it is.
    """
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        pass
    return host.lower().removesuffix(".")


def parse_rule(text: str, label: str) -> Rule:
    """The rule that a line without its comment holds.

    :raises ValueError: it is none; the text is for its author.
    """
    parts = _LINE.fullmatch(text)
    if parts is None:
        raise ValueError(f"'{printable(text)}' is no rule; {_EXAMPLE}")
    action, where, within, ports = parts.groups()
    network, name = _where(where)
    if within is not None:
        if name is None:
            raise ValueError(
                f"'in' follows a name, and {printable(where)} is none; write it like: allow db.example in 10.0.0.0/8"
            )
        network = parse_network(within)
    return Rule(action == "allow", label, text, network, name, _ports(ports))


def _where(text: str) -> tuple[Network | None, str | None]:
    if text == ANYWHERE:
        return None, None
    name = text.lower().removesuffix(".")
    if _NAME.fullmatch(name):
        return None, name
    try:
        return parse_network(text), None
    except ValueError as error:
        if "/" in text or ":" in text:
            raise
        hint = "" if text.isascii() else "; a name goes in its xn-- form"
        raise ValueError(f"{error}, nor a name such as db.example or *.example, nor '{ANYWHERE}'{hint}") from None


def _ports(text: str | None) -> tuple[range, ...]:
    if text is None:
        return ()
    ranges = []
    for item in text.split(","):
        parts = _PORTS.fullmatch(item.strip())
        first, last = (int(parts[1]), int(parts[2] or parts[1])) if parts else (1, 0)
        if not 0 <= first <= last <= 0xFFFF:
            raise ValueError(f"'{printable(item.strip())}' is no port; write ports like: port 22, 443, 8000-8100")
        ranges.append(range(first, last + 1))
    return tuple(ranges)
