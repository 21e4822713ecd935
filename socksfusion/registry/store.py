"""The registry: which agents, keys, clients and scans exist, kept in SQLite.

Synchronous; each method is one transaction and raises ``RegistryError``. What has returned is on the disk.
"""

import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, TracebackType

import sqlalchemy as sa

from socksfusion.log import printable
from socksfusion.registry import tables
from socksfusion.registry.agents import Agents
from socksfusion.registry.clients import Clients
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
from socksfusion.registry.links import Links
from socksfusion.registry.rows import SCAN_COLUMNS, agent_of, key_of, read_clients, scan_of
from socksfusion.registry.scans import Scans
from socksfusion.registry.schema import Agent, AgentKey, Scan, Seen, Snapshot
from socksfusion.registry.served import ServedLock
from socksfusion.registry.session import Session, last_change
from socksfusion.registry.tables import agents, keys, scans

__all__ = ["Agent", "AgentKey", "RefusedChange", "Registry", "RegistryError", "Scan", "Seen", "Snapshot"]


class Registry(Agents):
    """An open registry. It may move between threads, and only one may use it at a time.

    Agents by its own methods, the rest by ``clients``, ``scans`` and ``links``. ``now`` gives Unix seconds.
    """

    def __init__(self, path: Path, connection: sa.Connection, now: Callable[[], float]) -> None:
        super().__init__(Session(path, connection, now))
        self.path = path
        self.clients = Clients(self._session)
        """The accounts of clients."""
        self.scans = Scans(self._session)
        """The scans and what they found."""
        self.links = Links(self._session)
        """The one-time links to copies."""
        self._file = file_identity(path)
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
        own = self._session
        with Registry.open(self.path, own.now) as other:
            own.connection, other._session.connection = other._session.connection, own.connection
            self._file = other._file
            own.generation += 1

    def close(self) -> None:
        """Let go of the file."""
        self._session.connection.close()
        self._session.connection.engine.dispose()
        self._served.release()

    def __enter__(self) -> "Registry":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what the Proxy asks and notes ----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Agents, keys, running scans and clients at one moment."""
        with self._session.read() as connection:
            by_name = {row.name: agent_of(row) for row in connection.execute(sa.select(agents))}
            by_digest = {row.digest: key_of(row) for row in connection.execute(sa.select(keys))}
            running = connection.execute(sa.select(*SCAN_COLUMNS).where(scans.c.ended.is_(None)))
            by_id = {row.id: scan_of(row) for row in running}
            accounts = read_clients(connection)
            change = last_change(connection)
        return Snapshot(
            MappingProxyType(by_name),
            MappingProxyType(by_digest),
            MappingProxyType(by_id),
            MappingProxyType(accounts),
            change,
        )

    @property
    def generation(self) -> int:
        """How many changes were made through this object that a ``Snapshot`` would show.

        What the Proxy notes in batches is not counted.
        """
        return self._session.generation

    def data_version(self) -> int:
        """A number that differs from the one before if another connection has changed the registry (SQLite)."""
        with explained(self.path):
            cursor = self._session.connection.connection.cursor()
            try:
                return int(cursor.execute("PRAGMA data_version").fetchone()[0])
            finally:
                cursor.close()

    # -- is a Proxy at work here ----------------------------------------------------------------------------------

    def serve(self) -> bool:
        """Say that a Proxy works with this registry, until ``close`` or the end of the process, however it comes.

        Clears the agents' *connected*, which an earlier Proxy may have left behind. ``False``, and nothing done, where
        another Proxy says so already.
        """
        if not self._served.take():
            return False
        with self._session.write() as connection:
            connection.execute(agents.update().values(connected=False))
        return True

    def tell_heard(self, change: int) -> None:
        """Of the one that serves: it goes by the registry up to this change (``Snapshot.change``)."""
        self._served.note(change)

    def is_heard(self) -> bool:
        """Whether no Proxy works with this registry, or it goes by all that was changed through this object."""
        return not self.is_served() or self._served.noted() >= self._session.change

    def is_served(self) -> bool:
        """Whether a Proxy works with this registry now: only then is an agent's *connected* true."""
        return self._served.is_taken()
