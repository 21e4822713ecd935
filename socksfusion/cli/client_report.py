"""Accounts as people and programs read them: table, lines, JSON."""

from collections.abc import Sequence
from typing import Any

from socksfusion.cli.tables import as_columns, as_facts, moment
from socksfusion.registry.schema import Client

_HEADINGS = ("NAME", "STATE", "AGENTS", "ALLOW", "LAST SEEN")


def as_table(clients: Sequence[Client]) -> str:
    """A line an account under a line of headings."""
    return as_columns(_HEADINGS, map(_row, clients))


def _row(client: Client) -> tuple[str, ...]:
    return (
        client.name,
        "revoked" if client.revoked else "active",
        "all" if client.all_agents else ",".join(sorted(client.agents)) or "none",
        ",".join(client.allow) or "-",
        moment(client.last_seen) or "-",
    )


def as_lines(client: Client) -> str:
    """A line a fact."""
    created = moment(client.created) or "-"
    return as_facts(
        [*zip(_HEADINGS, _row(client), strict=True), ("CREATED", created), ("LOGIN", f"{client.name}@AGENT")]
    )


def as_json(client: Client) -> dict[str, Any]:
    """The same for programs; ``agents`` is ``null`` for an account that may use all."""
    return {
        "name": client.name,
        "revoked": client.revoked,
        "agents": None if client.all_agents else sorted(client.agents),
        "allow": list(client.allow),
        "created": moment(client.created),
        "last_seen": moment(client.last_seen),
    }
