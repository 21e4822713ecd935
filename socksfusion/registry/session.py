"""What the parts of a registry share: its one connection, its clock, and the count of its changes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import sqlalchemy as sa

from socksfusion.registry.database import transaction


class Session:
    """A registry's connection. ``now`` gives Unix seconds.

    ``generation`` counts the changes made through it that a ``Snapshot`` would show.
    """

    def __init__(self, path: Path, connection: sa.Connection, now: Callable[[], float]) -> None:
        self.path = path
        self.connection = connection
        self.now = now
        self.generation = 0

    def read(self) -> AbstractContextManager[sa.Connection]:
        """One transaction that sees one state; raises ``RegistryError``."""
        return transaction(self.connection, self.path, write=False)

    @contextmanager
    def write(self, *, counts: bool = True) -> Iterator[sa.Connection]:
        """One transaction, on the disk when the block has ended; ``counts``: a snapshot would show the change."""
        with transaction(self.connection, self.path, write=True) as connection:
            yield connection
        if counts:
            self.generation += 1
