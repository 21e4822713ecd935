"""Agents as people and programs read them: table, lines, JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from socksfusion.registry.store import Agent, AgentKey

_HEADINGS = ("NAME", "STATE", "PORT", "LAST SEEN", "FROM", "VERSION", "LAST ERROR")


def state_of(agent: Agent, served: bool) -> str:
    """One word for people; ``served``: whether a Proxy is at work, without which nobody is connected."""
    if agent.revoked:
        return "revoked"
    if agent.connected and served:
        return "connected"
    return "new" if agent.last_seen is None else "offline"


def as_table(agents: Sequence[Agent], served: bool) -> str:
    """A line an agent under a line of headings."""
    rows = [_HEADINGS, *(_row(agent, served) for agent in agents)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(agent: Agent, served: bool) -> tuple[str, ...]:
    return (
        agent.name,
        state_of(agent, served),
        "-" if agent.port is None else str(agent.port),
        moment(agent.last_seen) or "-",
        agent.last_address or "-",
        agent.last_version or "-",
        agent.last_error or "-",
    )


def as_lines(agent: Agent, served: bool, keys: Sequence[AgentKey]) -> str:
    """A line a fact."""
    facts = [*zip(_HEADINGS, _row(agent, served), strict=True), ("CREATED", moment(agent.created) or "-")]
    facts.append(("PROXY", agent.proxy or "the first name given to init, port 443"))
    facts += [("KEY", f"{key.digest.hex()} {key.state}, made {moment(key.created)}") for key in keys]
    return "\n".join(f"{heading.lower() + ':':<12}{value}" for heading, value in facts)


def as_json(agent: Agent, served: bool, keys: Sequence[AgentKey] | None = None) -> dict[str, Any]:
    """The same for programs: times in ISO 8601 with offset, ``null`` for what is not known."""
    record: dict[str, Any] = {
        "name": agent.name,
        "connected": agent.connected and served,
        "revoked": agent.revoked,
        "port": agent.port,
        "proxy": agent.proxy,
        "created": moment(agent.created),
        "last_seen": moment(agent.last_seen),
        "last_address": agent.last_address,
        "last_version": agent.last_version,
        "last_error": agent.last_error,
    }
    if keys is not None:
        record["keys"] = [
            {"sha256": key.digest.hex(), "state": key.state, "created": moment(key.created)} for key in keys
        ]
    return record


def moment(seconds: float | None) -> str | None:
    """Unix seconds as local time, ISO 8601 with offset."""
    return None if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
