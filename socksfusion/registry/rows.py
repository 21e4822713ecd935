"""Rows of the registry's tables as the values of ``registry.schema``, and back."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from socksfusion.registry.schema import Agent, AgentKey, Client, Scan
from socksfusion.registry.tables import client_agents, clients, scans

SCAN_COLUMNS = [scans.c[name] for name in Scan.__dataclass_fields__]
"""The columns of ``scans`` that a ``Scan`` is made of; the others count what it found."""


def agent_of(row: sa.Row[Any]) -> Agent:
    """A row of ``agents``."""
    return Agent(**{**row._mapping, "scope": networks_of(row.scope)})


def key_of(row: sa.Row[Any]) -> AgentKey:
    """A row of ``keys``."""
    return AgentKey(row.digest, row.agent, row.state, row.created)


def scan_of(row: sa.Row[Any]) -> Scan:
    """A row of ``SCAN_COLUMNS``."""
    return Scan(**{**row._mapping, "allow": networks_of(row.allow)})


def row_of_scan(scan: Scan) -> dict[str, Any]:
    """What ``scan_of`` reads."""
    row = {column.name: getattr(scan, column.name) for column in SCAN_COLUMNS}
    return {**row, "allow": text_of(scan.allow)}


def read_clients(connection: sa.Connection, name: str | None = None) -> dict[str, Client]:
    """All clients by name, in its order, or the one of that ``name``."""
    accounts, rights = sa.select(clients).order_by(clients.c.name), sa.select(client_agents)
    if name is not None:
        accounts, rights = accounts.where(clients.c.name == name), rights.where(client_agents.c.client == name)
    may_use: dict[str, set[str]] = {}
    for row in connection.execute(rights):
        may_use.setdefault(row.client, set()).add(row.agent)
    found = {}
    for row in connection.execute(accounts):
        agents = frozenset(may_use.get(row.name, ()))
        found[row.name] = Client(**{**row._mapping, "agents": agents, "allow": networks_of(row.allow)})
    return found


def networks_of(text: str) -> tuple[str, ...]:
    """What ``text_of`` made."""
    return tuple(text.split(",")) if text else ()


def text_of(networks: Sequence[str]) -> str:
    """Networks as one column holds them."""
    return ",".join(networks)
