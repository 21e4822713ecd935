"""Agents as people and programs read them: table, lines, JSON."""

import time
from collections.abc import Sequence
from typing import Any

from socksfusion.cli.tables import as_columns, as_facts, moment
from socksfusion.registry.store import Agent, AgentKey

_HEADINGS = ("NAME", "STATE", "PORT", "LAST SEEN", "FROM", "VERSION", "LAST ERROR")


def state_of(agent: Agent, served: bool) -> str:
    """A word or a few, for people; ``served``: whether a Proxy is at work, without which nobody is connected."""
    if agent.revoked:
        return "revoked"
    if agent.shut_out(time.time()):
        return "expired"
    if agent.uninstalled:
        return "uninstalled"
    if agent.paused and agent.connected and served:
        return "paused by its admin"
    if agent.connected and served:
        return "connected"
    return "new" if agent.last_seen is None else "offline"


def as_table(agents: Sequence[Agent], served: bool) -> str:
    """A line an agent under a line of headings."""
    return as_columns(_HEADINGS, (_row(agent, served) for agent in agents))


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
    facts.append(("SCOPE", ", ".join(agent.scope) or "none was agreed"))
    facts.append(("EXPIRES", moment(agent.expires) or "never"))
    if agent.paused:
        until = moment(agent.paused_until)
        facts.append(("PAUSED", "by its admin" + (f", until {until}" if until else "")))
    facts.append(("TOKEN", "it has one" if agent.token else "none; make one by: socksfusion agent token " + agent.name))
    facts += [("KEY", f"{key.digest.hex()} {key.state}, made {moment(key.created)}") for key in keys]
    return as_facts(facts)


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
        "scope": list(agent.scope),
        "expires": moment(agent.expires),
        "paused": agent.paused,
        "paused_until": moment(agent.paused_until),
        "uninstalled": agent.uninstalled,
    }
    if keys is not None:
        record["keys"] = [
            {"sha256": key.digest.hex(), "state": key.state, "created": moment(key.created)} for key in keys
        ]
    return record
