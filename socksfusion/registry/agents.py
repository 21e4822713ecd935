"""The registry's agents and their keys."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from socksfusion.identity.names import check_agent_name
from socksfusion.log import printable
from socksfusion.registry import ports
from socksfusion.registry.database import RefusedChange
from socksfusion.registry.rows import agent_of, key_of, text_of
from socksfusion.registry.schema import Agent, AgentKey, Seen
from socksfusion.registry.session import Session
from socksfusion.registry.tables import agents, keys, scans


def find_agent(connection: sa.Connection, name: str) -> Agent | None:
    """The agent ``name``, if there is one."""
    row = connection.execute(sa.select(agents).where(agents.c.name == name)).one_or_none()
    return None if row is None else agent_of(row)


def require_agent(connection: sa.Connection, name: str) -> Agent:
    """The agent ``name``; ``RefusedChange`` where there is none, ``UsageError`` where none can have that name."""
    check_agent_name(name)
    agent = find_agent(connection, name)
    if agent is None:
        raise RefusedChange(f"there is no agent {name}; see: socksfusion agent list")
    return agent


class Agents:
    """What a ``Registry`` does for agents; each method is one transaction and raises ``RegistryError``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # -- by command -----------------------------------------------------------------------------------------------

    def add_agent(
        self,
        name: str,
        digest: bytes,
        proxy: str | None = None,
        *,
        token: bytes | None = None,
        scope: Sequence[str] = (),
        expires: float | None = None,
    ) -> None:
        """Register a new agent with its first key, which is pending until it connects.

        ``proxy`` is the Proxy's address that its copies are made for, where it is not the usual one; ``token`` the
        SHA-256 of the one that opens it to clients; ``scope`` the networks that were agreed on; ``expires`` Unix
        seconds, from which on it is shut out.
        """
        check_agent_name(name)
        with self._session.write() as connection:
            self._refuse_known(connection, name)
            row = {"name": name, "revoked": False, "proxy": proxy, "created": self._session.now(), "connected": False}
            row |= {"token": token, "scope": text_of(scope), "expires": expires}
            connection.execute(agents.insert().values(row))
            self._insert_key(connection, name, digest)

    def check_new(self, name: str) -> None:
        """Raise what ``add_agent`` would for this name."""
        check_agent_name(name)
        with self._session.read() as connection:
            self._refuse_known(connection, name)

    def _refuse_known(self, connection: sa.Connection, name: str) -> None:
        if find_agent(connection, name) is not None:
            raise RefusedChange(f"there is an agent {name} already; for a new copy: socksfusion agent renew {name}")

    def renew_agent(self, name: str, digest: bytes, proxy: str | None = None, **changes: Any) -> None:
        """Give the agent a further key, pending; the older ones stay as they are until it connects.

        ``proxy`` replaces the address that its copies are made for; ``None`` leaves that. ``changes`` may have a new
        ``scope`` and ``expires``, as in ``add_agent``.
        """
        values: dict[str, Any] = {} if proxy is None else {"proxy": proxy}
        if "scope" in changes:
            values["scope"] = text_of(changes["scope"])
        if "expires" in changes:
            values["expires"] = changes["expires"]
        with self._session.write() as connection:
            require_agent(connection, name)
            if values:
                connection.execute(agents.update().where(agents.c.name == name).values(values))
            self._insert_key(connection, name, digest)

    def _insert_key(self, connection: sa.Connection, name: str, digest: bytes) -> None:
        row = {"digest": digest, "agent": name, "state": "pending", "created": self._session.now()}
        connection.execute(keys.insert().values(row))

    def revoke_agent(self, name: str) -> bool:
        """Shut the agent out until ``restore_agent``; gives whether that changed anything."""
        return not self._change(name, revoked=True).revoked

    def restore_agent(self, name: str) -> bool:
        """Undo ``revoke_agent``; gives whether that changed anything."""
        return self._change(name, revoked=False).revoked

    def remove_agent(self, name: str) -> None:
        """Forget the agent, its keys and clients' rights to it; its scans' records stay, its port is reserved.

        Raises ``RefusedChange`` while a scan of it runs.
        """
        with self._session.write() as connection:
            agent = require_agent(connection, name)
            running = (scans.c.agent == name) & scans.c.ended.is_(None)
            scan = connection.scalar(sa.select(scans.c.id).where(running))
            if scan is not None:
                raise RefusedChange(f"scan {scan} of agent {name} is running; end it by: socksfusion scan stop {scan}")
            if agent.port is not None:
                ports.reserve(connection, agent.port, name, "agent", self._session.now())
            connection.execute(keys.delete().where(keys.c.agent == name))
            connection.execute(agents.delete().where(agents.c.name == name))

    def check_port(self, name: str, port: int) -> None:
        """Raise what ``set_port`` would."""
        ports.check_port(port)
        with self._session.read() as connection:
            require_agent(connection, name)
            ports.refuse_taken(connection, port, name, self._session.now())

    def set_port(self, name: str, port: int | None) -> None:
        """Give the agent a clients' port of its own, or ``None``. No other agent gets the port unless it is freed."""
        if port is not None:
            ports.check_port(port)
        with self._session.write() as connection:
            agent = require_agent(connection, name)
            if port == agent.port:
                return
            if port is not None:
                ports.refuse_taken(connection, port, name, self._session.now())
                ports.release(connection, port)
            if agent.port is not None:
                ports.reserve(connection, agent.port, name, "agent", self._session.now())
            connection.execute(agents.update().where(agents.c.name == name).values(port=port))

    def set_token(self, name: str, digest: bytes) -> None:
        """Give the agent a new token for its clients, as its SHA-256; the one before opens nothing any more."""
        self._change(name, token=digest)

    def agents(self) -> list[Agent]:
        """All agents by name, the revoked ones too."""
        with self._session.read() as connection:
            return [agent_of(row) for row in connection.execute(sa.select(agents).order_by(agents.c.name))]

    def agent(self, name: str) -> Agent:
        """The agent ``name``; ``RegistryError`` where there is none."""
        with self._session.read() as connection:
            return require_agent(connection, name)

    def agent_keys(self, name: str) -> list[AgentKey]:
        """The agent's keys, oldest first."""
        with self._session.read() as connection:
            query = sa.select(keys).where(keys.c.agent == name).order_by(keys.c.number)
            return [key_of(row) for row in connection.execute(query)]

    def _change(self, name: str, **values: object) -> Agent:
        """Set columns of one agent; gives it as it was before."""
        with self._session.write() as connection:
            agent = require_agent(connection, name)
            connection.execute(agents.update().where(agents.c.name == name).values(values))
        return agent

    # -- by the Proxy ---------------------------------------------------------------------------------------------

    def activate(self, digest: bytes) -> AgentKey | None:
        """A connection proved this key: if it is pending, make it the active one and retire the agent's older keys.

        Gives the key as it is then; ``None`` where it is not registered, or its agent is shut out.
        """
        with self._session.write() as connection:
            found = connection.execute(sa.select(keys).where(keys.c.digest == digest)).one_or_none()
            if found is None or require_agent(connection, found.agent).shut_out(self._session.now()):
                return None
            if found.state != "pending":
                return key_of(found)
            older = (keys.c.agent == found.agent) & (keys.c.number < found.number)
            connection.execute(keys.update().where(older).values(state="retired"))
            connection.execute(keys.update().where(keys.c.digest == digest).values(state="active"))
            connection.execute(agents.update().where(agents.c.name == found.agent).values(uninstalled=False))
        return AgentKey(digest, found.agent, "active", found.created)

    def set_paused(self, name: str, paused: bool, until: float | None = None) -> None:
        """Note that the agent's admin paused it, ``until`` then (Unix seconds) if it ends by itself, or resumed it."""
        self._change(name, paused=paused, paused_until=until if paused else None)

    def set_uninstalled(self, name: str, uninstalled: bool = True) -> None:
        """Note that the agent's admin uninstalled it, or that it came back all the same."""
        self._change(name, uninstalled=uninstalled)

    def write_seen(self, batch: Iterable[Seen]) -> None:
        """Note what the Proxy knows of its agents. Text from outside is made printable; unknown agents are skipped."""
        update = agents.update().where(agents.c.name == sa.bindparam("agent"))
        values = {
            "connected": sa.func.coalesce(sa.bindparam("is_connected", type_=sa.Boolean), agents.c.connected),
            "last_seen": sa.func.coalesce(sa.bindparam("at", type_=sa.Float), agents.c.last_seen),
            "last_address": sa.func.coalesce(sa.bindparam("address", type_=sa.Text), agents.c.last_address),
            "last_version": sa.func.coalesce(sa.bindparam("version", type_=sa.Text), agents.c.last_version),
            "last_error": sa.func.coalesce(sa.bindparam("error", type_=sa.Text), agents.c.last_error),
        }
        rows = [
            {
                "agent": seen.agent,
                "is_connected": seen.connected,
                "at": seen.at,
                "address": _printable(seen.address),
                "version": _printable(seen.version),
                "error": _printable(seen.error),
            }
            for seen in batch
        ]
        if rows:
            with self._session.write(counts=False) as connection:
                connection.execute(update.values(values), rows)


def _printable(text: str | None) -> str | None:
    return None if text is None else printable(text)
