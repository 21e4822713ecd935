"""What the parts of a registry share: its one connection, its clock, and the count of its changes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import sqlalchemy as sa

from socksfusion.registry.database import transaction


class Session:
    """A registry's connection. ``now`` gives Unix seconds.

    ``generation`` counts the changes made through it that a ``Snapshot`` would show, and ``change`` is the last one's
    number among those of all programs (0: it made none).
    """

    def __init__(self, path: Path, connection: sa.Connection, now: Callable[[], float]) -> None:
        self.path = path
        self.connection = connection
        self.now = now
        self.generation = 0
        self.change = 0

    def read(self) -> AbstractContextManager[sa.Connection]:
        """One transaction that sees one state; raises ``RegistryError``."""
        return transaction(self.connection, self.path, write=False)

    @contextmanager
    def write(self, *, counts: bool = True) -> Iterator[sa.Connection]:
        """One transaction, on the disk when the block has ended; ``counts``: a snapshot would show the change."""
        with transaction(self.connection, self.path, write=True) as connection:
            yield connection
            change = _count_change(connection) if counts else self.change
        if counts:
            self.generation += 1
            self.change = change


def _count_change(connection: sa.Connection) -> int:
    change = last_change(connection) + 1
    connection.exec_driver_sql(f"PRAGMA user_version = {change}")
    return change


def last_change(connection: sa.Connection) -> int:
    """The number of the last change that a snapshot shows; within a transaction. SQLite keeps it in the file's header.

    It grows by one a change, and falls only where a backup is put back.
    """
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
