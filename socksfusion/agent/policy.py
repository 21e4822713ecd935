"""What the Agent may dial: by default everything but its own host and what only means the local link.

Judged is the very literal that is then dialled (attacks.md, rows C4 and C5), at every open, whoever opens (F1). Four
things are asked in this order, and each can only take away:

1. the guarded ranges, which a rule of the admin's opens only from inside (``guarded.py``);
2. the scope that was agreed and stands in the copy;
3. the admin's rules, from the policy file or ``--allow`` (``rules.py``);
4. what the client or the scan may reach, which the Proxy's request tells.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address
from typing import Final

from socksfusion.agent.guarded import OWN_HOST, forms, guarded_range, literal, owns_address, parse_literal
from socksfusion.agent.rules import Rule, Rules
from socksfusion.networks import Address, Network, hold, parse_networks

__all__ = ["Agreed", "Decision", "Policy", "literal", "narrowing"]

OUT_OF_SCOPE: Final = "outside the agreed scope"
OVER: Final = "the agreed time is over"
NARROWED: Final = "not for this client or scan"
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says of one address."""

    allowed: bool
    """Whether it may be dialled."""
    rule: str
    """The rule that decided, for a log line and the Proxy; it does not tell what the rule says."""
    address: str
    """The literal to dial: an IPv4-mapped address is the IPv4 address that it means."""
    text: str = ""
    """The rule as its author wrote it, for the admin; empty where nobody wrote it."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the copy says of where this Agent may go."""

    scope: tuple[Network, ...] = ()
    """The networks; empty where none were agreed."""
    expires: float | None = None
    """When it is over (Unix seconds)."""

    def __str__(self) -> str:
        networks = ", ".join(map(str, self.scope)) or "none, so the Agent's own rules alone decide"
        over = "" if self.expires is None else f"; until {datetime.fromtimestamp(self.expires, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return f"agreed scope: {networks}{over}"


def narrowing(allow: tuple[str, ...]) -> tuple[Network, ...] | None:
    """The networks to which a request's ``allow`` narrows the Agent; None where it does not.

    :raises ValueError: a text in it is no network.
    """
    return parse_networks(allow) if allow else None


class Policy:
    """The Agent's policy.

    ``rules`` are the admin's, and may be replaced at any time; None is the default, which denies guarded ranges only.
    ``problem`` says why they are older than the file that they are from; empty where they are not.
    ``owns`` tells the machine's own addresses, ``wall_clock`` Unix seconds.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        agreed: Agreed = Agreed(),
        *,
        owns: Callable[[Address], bool] = owns_address,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.rules = rules
        self.problem = ""
        self.agreed = agreed
        self._owns = owns
        self._wall_clock = wall_clock

    def check(self, address: str, port: int, *, name: str = "", narrowed: Sequence[Network] | None = None) -> Decision:
        """Decide about one IPv4 or IPv6 literal and a port.

        ``name`` is what was asked for (:func:`socksfusion.agent.rules.plain_name`), empty where that was an address.
        ``narrowed`` are the networks of the client or scan; None where they are not narrowed.

        :raises ValueError: not a literal.
        :raises OSError: whether it is the machine's own can't be told now.
        """
        target = parse_literal(address)
        if isinstance(target, IPv6Address) and target.ipv4_mapped is not None:
            target = target.ipv4_mapped
        dialled = str(target)
        opened: Rule | None = None
        all_forms = tuple(forms(target))
        for form in all_forms:
            guard = guarded_range(form) or (OWN_HOST if self._owns(form) else None)
            if guard is None:
                continue
            rule = self.rules.first_for_guarded(form, port, name) if self.rules is not None else None
            if rule is None:
                return Decision(False, guard, dialled)
            if not rule.allows:
                return Decision(False, rule.label, dialled, rule.text)
            opened = rule if form == target else opened
        agreed = self.agreed
        if agreed.expires is not None and self._wall_clock() >= agreed.expires:
            return Decision(False, OVER, dialled)
        if agreed.scope and not hold(agreed.scope, target):
            return Decision(False, OUT_OF_SCOPE, dialled)
        decision = self._by_rules(all_forms, port, name, opened, dialled)
        if decision.allowed and narrowed is not None and not hold(narrowed, target):
            return Decision(False, NARROWED, dialled)
        return decision

    def _by_rules(
        self, all_forms: Sequence[Address], port: int, name: str, opened: Rule | None, dialled: str
    ) -> Decision:
        if self.rules is None:
            return Decision(True, DEFAULT, dialled)
        rule = self.rules.first(all_forms, port, name)
        if rule is None:
            return Decision(False, self.rules.unlisted, dialled)
        if rule.allows and opened is not None:
            rule = opened
        return Decision(rule.allows, rule.label, dialled, rule.text)
