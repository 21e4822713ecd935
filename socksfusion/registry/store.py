"""The registry: which agents, keys and scans exist, kept in SQLite.

Synchronous; each method is one transaction and raises ``RegistryError``. What has returned is on the disk.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType

import sqlalchemy as sa

from socksfusion.identity.names import check_agent_name
from socksfusion.log import printable
from socksfusion.registry import tables
from socksfusion.registry.database import (
    RefusedChange,
    RegistryError,
    connect,
    create_file,
    explained,
    file_identity,
    migrate,
    revision,
    transaction,
)
from socksfusion.registry.rows import SCAN_COLUMNS, agent_of, key_of, read_clients, row_of_scan, scan_of
from socksfusion.registry.schema import Agent, AgentKey, Scan, Seen, Snapshot
from socksfusion.registry.served import ServedLock
from socksfusion.registry.tables import agents, keys, scans

__all__ = ["Agent", "AgentKey", "RefusedChange", "Registry", "RegistryError", "Scan", "Seen", "Snapshot"]


class Registry:
    """An open registry. It may move between threads, and only one may use it at a time.

    ``now`` gives Unix seconds. ``generation`` counts the changes made through this object that a ``Snapshot`` would
    show; what ``write_seen`` and ``touch_scans`` write is not counted.
    """

    def __init__(self, path: Path, connection: sa.Connection, now: Callable[[], float]) -> None:
        self.path = path
        self.generation = 0
        self._file = file_identity(path)
        self._connection = connection
        self._now = now
        self._served = ServedLock(path.with_suffix(".served"))

    @classmethod
    def create(cls, path: Path, now: Callable[[], float] = time.time) -> "Registry":
        """Make a new registry at ``path``, where no file may be."""
        create_file(path)
        connection = connect(path)
        migrate(connection, path)
        return cls(path, connection, now)

    @classmethod
    def open(cls, path: Path, now: Callable[[], float] = time.time) -> "Registry":
        """Open the registry at ``path``; one of an earlier version is migrated."""
        connection = connect(path)
        registry = cls(path, connection, now)
        try:
            with transaction(connection, path, write=False):
                found = revision(connection)
            if found is None:
                raise RegistryError(f"{printable(str(path))} is no registry; restore the state folder from a backup")
            if found != tables.REVISION:
                migrate(connection, path)
        except BaseException:
            registry.close()
            raise
        return registry

    def follow(self) -> None:
        """Go over to the file that has the registry's name now, if that is another one: a backup was put back.

        SQLite would go on with the old one, which nobody else sees. Raises ``RegistryError``, and stays with the old
        one, where there is none or it can't be used.
        """
        if file_identity(self.path) == self._file:
            return
        with Registry.open(self.path, self._now) as other:
            self._connection, other._connection = other._connection, self._connection
            self._file = other._file
            self.generation += 1

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
        self._connection.engine.dispose()
        self._served.release()

    def __enter__(self) -> "Registry":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- agents and keys ------------------------------------------------------------------------------------------

    def add_agent(self, name: str, digest: bytes, proxy: str | None = None) -> None:
        """Register a new agent with its first key, which is pending until it connects.

        ``proxy`` is the Proxy's address that its copies are made for, where it is not the usual one.
        """
        check_agent_name(name)
        with self._write() as connection:
            self._refuse_known(connection, name)
            row = {"name": name, "revoked": False, "proxy": proxy, "created": self._now(), "connected": False}
            connection.execute(agents.insert().values(row))
            self._insert_key(connection, name, digest)

    def check_new(self, name: str) -> None:
        """Raise what ``add_agent`` would for this name."""
        check_agent_name(name)
        with self._read() as connection:
            self._refuse_known(connection, name)

    def _refuse_known(self, connection: sa.Connection, name: str) -> None:
        if self._find(connection, name) is not None:
            raise RefusedChange(f"there is an agent {name} already; for a new copy: socksfusion agent renew {name}")

    def renew_agent(self, name: str, digest: bytes, proxy: str | None = None) -> None:
        """Give the agent a further key, pending; the older ones stay as they are until it connects.

        ``proxy`` replaces the address that its copies are made for; ``None`` leaves that.
        """
        with self._write() as connection:
            self._require(connection, name)
            if proxy is not None:
                connection.execute(agents.update().where(agents.c.name == name).values(proxy=proxy))
            self._insert_key(connection, name, digest)

    def _insert_key(self, connection: sa.Connection, name: str, digest: bytes) -> None:
        row = {"digest": digest, "agent": name, "state": "pending", "created": self._now()}
        connection.execute(keys.insert().values(row))

    def revoke_agent(self, name: str) -> bool:
        """Shut the agent out until ``restore_agent``; gives whether that changed anything."""
        return self._set_revoked(name, True)

    def restore_agent(self, name: str) -> bool:
        """Undo ``revoke_agent``; gives whether that changed anything."""
        return self._set_revoked(name, False)

    def _set_revoked(self, name: str, revoked: bool) -> bool:
        with self._write() as connection:
            agent = self._require(connection, name)
            connection.execute(agents.update().where(agents.c.name == name).values(revoked=revoked))
        return agent.revoked is not revoked

    def set_port(self, name: str, port: int | None) -> None:
        """Give the agent a clients' port of its own, or ``None``. No other agent gets the port unless it is freed."""
        if port is not None and not 1 <= port <= 65535:
            raise RefusedChange("a port is a number from 1 to 65535")
        with self._write() as connection:
            self._require(connection, name)
            owner = connection.scalar(sa.select(agents.c.name).where(agents.c.port == port))
            if port is not None and owner not in (None, name):
                raise RefusedChange(
                    f"port {port} is agent {owner}'s; take another, or free it by: socksfusion agent port {owner} none"
                )
            connection.execute(agents.update().where(agents.c.name == name).values(port=port))

    def activate(self, digest: bytes) -> AgentKey | None:
        """A connection proved this key: if it is pending, make it the active one and retire the agent's older keys.

        Gives the key as it is then; ``None`` where it is not registered, or its agent is revoked.
        """
        with self._write() as connection:
            found = connection.execute(
                sa.select(keys, agents.c.revoked).join(agents).where(keys.c.digest == digest)
            ).one_or_none()
            if found is None or found.revoked:
                return None
            state = found.state
            if state == "pending":
                older = (keys.c.agent == found.agent) & (keys.c.number < found.number)
                connection.execute(keys.update().where(older).values(state="retired"))
                connection.execute(keys.update().where(keys.c.digest == digest).values(state="active"))
                state = "active"
        return AgentKey(digest, found.agent, state, found.created)

    def agents(self) -> list[Agent]:
        """All agents by name, the revoked ones too."""
        with self._read() as connection:
            return [agent_of(row) for row in connection.execute(sa.select(agents).order_by(agents.c.name))]

    def agent(self, name: str) -> Agent:
        """The agent ``name``; ``RegistryError`` where there is none."""
        with self._read() as connection:
            return self._require(connection, name)

    def agent_keys(self, name: str) -> list[AgentKey]:
        """The agent's keys, oldest first."""
        with self._read() as connection:
            query = sa.select(keys).where(keys.c.agent == name).order_by(keys.c.number)
            return [key_of(row) for row in connection.execute(query)]

    def _find(self, connection: sa.Connection, name: str) -> Agent | None:
        row = connection.execute(sa.select(agents).where(agents.c.name == name)).one_or_none()
        return None if row is None else agent_of(row)

    def _require(self, connection: sa.Connection, name: str) -> Agent:
        check_agent_name(name)
        agent = self._find(connection, name)
        if agent is None:
            raise RefusedChange(f"there is no agent {name}; see: socksfusion agent list")
        return agent

    # -- what the Proxy asks and notes ----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Agents, keys and running scans at one moment."""
        with self._read() as connection:
            by_name = {row.name: agent_of(row) for row in connection.execute(sa.select(agents))}
            by_digest = {row.digest: key_of(row) for row in connection.execute(sa.select(keys))}
            running = connection.execute(sa.select(*SCAN_COLUMNS).where(scans.c.ended.is_(None)))
            by_id = {row.id: scan_of(row) for row in running}
            accounts = read_clients(connection)
        return Snapshot(
            MappingProxyType(by_name), MappingProxyType(by_digest), MappingProxyType(by_id), MappingProxyType(accounts)
        )

    def data_version(self) -> int:
        """A number that differs from the one before if another connection has changed the registry (SQLite)."""
        with explained(self.path):
            cursor = self._connection.connection.cursor()
            try:
                return int(cursor.execute("PRAGMA data_version").fetchone()[0])
            finally:
                cursor.close()

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
            with self._write(counts=False) as connection:
                connection.execute(update.values(values), rows)

    def start_scan(self, scan: Scan) -> None:
        """Keep a scan that has begun; the Proxy has given it its id."""
        with self._write() as connection:
            self._require(connection, scan.agent)
            connection.execute(scans.insert().values(row_of_scan(scan)))

    def touch_scans(self, batch: Mapping[str, float]) -> None:
        """Note when scans were last active: id to Unix seconds."""
        rows = [{"scan": scan, "at": at} for scan, at in batch.items()]
        if rows:
            update = scans.update().where(scans.c.id == sa.bindparam("scan")).values(last_active=sa.bindparam("at"))
            with self._write(counts=False) as connection:
                connection.execute(update, rows)

    def end_scan(self, scan: str, ended: float) -> bool:
        """End a scan at ``ended``; gives whether it was running."""
        with self._write() as connection:
            running = (scans.c.id == scan) & scans.c.ended.is_(None)
            return connection.execute(scans.update().where(running).values(ended=ended)).rowcount == 1

    # -- is a Proxy at work here ----------------------------------------------------------------------------------

    def serve(self) -> bool:
        """Say that a Proxy works with this registry, until ``close`` or the end of the process, however it comes.

        Clears the agents' *connected*, which an earlier Proxy may have left behind. ``False``, and nothing done, where
        another Proxy says so already.
        """
        if not self._served.take():
            return False
        with self._write() as connection:
            connection.execute(agents.update().values(connected=False))
        return True

    def is_served(self) -> bool:
        """Whether a Proxy works with this registry now: only then is an agent's *connected* true."""
        return self._served.is_taken()

    def _read(self) -> AbstractContextManager[sa.Connection]:
        return transaction(self._connection, self.path, write=False)

    @contextmanager
    def _write(self, *, counts: bool = True) -> Iterator[sa.Connection]:
        with transaction(self._connection, self.path, write=True) as connection:
            yield connection
        if counts:
            self.generation += 1


def _printable(text: str | None) -> str | None:
    return None if text is None else printable(text)
