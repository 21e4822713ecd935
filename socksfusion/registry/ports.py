"""Clients' ports: whose one is, and which are kept from others for a while because tools may still be set to them."""

from collections.abc import Iterable
from typing import Literal

import sqlalchemy as sa

from socksfusion import limits
from socksfusion.registry.database import RefusedChange
from socksfusion.registry.tables import agents, reserved_ports, scans

_DAY = 86400.0


def check_port(port: int) -> None:
    """Raise ``RefusedChange`` where ``port`` is no port."""
    if not 1 <= port <= 65535:
        raise RefusedChange("a port is a number from 1 to 65535")


def refuse_taken(connection: sa.Connection, port: int, agent: str, now: float) -> None:
    """Raise ``RefusedChange`` where ``port`` can't become ``agent``'s, or a scan's of it, by an admin's word.

    What was taken from an agent may be given away so; what was a scan's of another agent may not, while it is reserved.
    """
    owner = connection.scalar(sa.select(agents.c.name).where(agents.c.port == port))
    if owner not in (None, agent):
        raise RefusedChange(
            f"port {port} is agent {owner}'s; take another, or free it by: socksfusion agent port {owner} none"
        )
    running = (scans.c.port == port) & scans.c.ended.is_(None)
    scan = connection.execute(sa.select(scans.c.id, scans.c.agent).where(running)).one_or_none()
    if scan is not None:
        raise RefusedChange(f"port {port} is the running scan {scan.id}'s, of agent {scan.agent}; take another")
    kept = connection.execute(sa.select(reserved_ports).where(reserved_ports.c.port == port)).one_or_none()
    if kept is not None and kept.kind == "scan" and kept.agent != agent and kept.until > now:
        days = -int(-(kept.until - now) // _DAY)
        raise RefusedChange(
            f"port {port} was a scan's of agent {kept.agent}, and tools may still use it: "
            f"it is reserved for {days} more days; take another"
        )


def first_free(connection: sa.Connection, ports: Iterable[int], now: float) -> int | None:
    """The first of ``ports`` that is nobody's and is not reserved, whatever for."""
    taken = set(connection.scalars(sa.select(agents.c.port).where(agents.c.port.is_not(None))))
    taken |= set(connection.scalars(sa.select(scans.c.port).where(scans.c.ended.is_(None))))
    taken |= set(connection.scalars(sa.select(reserved_ports.c.port).where(reserved_ports.c.until > now)))
    return next((port for port in ports if port not in taken), None)


def reserve(connection: sa.Connection, port: int, agent: str, kind: Literal["agent", "scan"], now: float) -> None:
    """Keep ``port``, which was ``agent``'s until ``now``, for ``limits.SCAN_PORT_RESERVED_DAYS``."""
    until = now + limits.SCAN_PORT_RESERVED_DAYS * _DAY
    release(connection, port)
    connection.execute(reserved_ports.insert().values(port=port, agent=agent, kind=kind, until=until))


def release(connection: sa.Connection, port: int) -> None:
    """``port`` is in use again: forget that it was reserved."""
    connection.execute(reserved_ports.delete().where(reserved_ports.c.port == port))
