"""The registry's SQLite connection: how it is opened, checked and migrated, and what its errors mean to a person.

One connection, of which only one transaction is open at a time. Settings: https://www.sqlite.org/pragma.html.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from socksfusion import limits
from socksfusion.errors import StateError
from socksfusion.exit_codes import ExitCode
from socksfusion.log import printable
from socksfusion.registry import tables

_BEGIN = "begin"  # key in the connection's info: the statement that opens its next transaction


class RegistryError(StateError):
    """The registry can't be used; the text is for the user."""


class RefusedChange(RegistryError):
    """What was asked for doesn't fit what the registry holds, and nothing was changed."""

    exit_code = ExitCode.USAGE


def create_file(path: Path) -> None:
    """Make the empty file of a new registry, mode 0600; ``RegistryError`` where there is one already."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise RegistryError(f"can't make the registry {printable(str(path))}: {error.strerror}")


def missing(path: Path) -> RegistryError:
    """Where there is no registry at ``path``."""
    return RegistryError(f"the registry {printable(str(path))} is missing; restore the state folder from a backup")


def file_identity(path: Path) -> tuple[int, int]:
    """Which file has the name ``path`` now, whatever it holds; raises ``RegistryError`` where none can be found."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise missing(path)
    except OSError as error:
        raise RegistryError(f"the registry {printable(str(path))} can't be found: {error.strerror}")
    return status.st_dev, status.st_ino


def connect(path: Path) -> sa.Connection:
    """A connection to the existing file ``path`` with our settings, found to be sound; raises ``RegistryError``."""
    if not path.is_file():
        raise missing(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": limits.REGISTRY_BUSY_SECONDS},
    )
    sa.event.listen(engine, "connect", _take_over_transactions)
    sa.event.listen(engine, "begin", _begin)
    with explained(path):
        connection = engine.connect()
    try:
        with explained(path):
            _settle(connection, path)
    except BaseException:
        connection.close()
        engine.dispose()
        raise
    return connection


def _take_over_transactions(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # the driver would begin a transaction too late, at the first write


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.info.get(_BEGIN, "BEGIN"))


def _settle(connection: sa.Connection, path: Path) -> None:
    # journal_mode can't be changed in a transaction, and every statement of the connection would open one
    cursor = connection.connection.cursor()
    try:
        cursor.execute("PRAGMA trusted_schema = OFF")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA journal_mode = WAL")
        mode = _one(cursor)
        if mode != "wal":
            raise RegistryError(
                f"the registry {printable(str(path))} can't have a write-ahead log there (journal mode {mode}); "
                "put the state folder on a local disk"
            )
        cursor.execute("PRAGMA quick_check(1)")
        verdict = _one(cursor)
        if verdict != "ok":
            raise _damaged(path, str(verdict))
    finally:
        cursor.close()


def _one(cursor: Any) -> object:
    row = cursor.fetchone()
    return row[0] if row else None


def _damaged(path: Path, why: str) -> RegistryError:
    return RegistryError(
        f"the registry {printable(str(path))} is damaged ({printable(why)}); it was left as it is: "
        "restore the state folder from a backup"
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the database's errors into ``RegistryError`` with what a person can do about them."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        raise _explain(path, cause) from error


def _explain(path: Path, cause: BaseException | None) -> RegistryError:
    name = getattr(cause, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _damaged(path, str(cause))
    advice = {
        "SQLITE_BUSY": "another process is writing to it for too long; try again",
        "SQLITE_FULL": "the disk is full; make room and try again",
        "SQLITE_READONLY": "it can't be written; check the disk and the folder's owner",
        "SQLITE_CANTOPEN": "it can't be opened; check the disk and the folder's owner",
    }.get("_".join(name.split("_")[:2]), f"{printable(str(cause))}; check the disk")
    return RegistryError(f"the registry {printable(str(path))}: {advice}")


@contextmanager
def transaction(connection: sa.Connection, path: Path, *, write: bool) -> Iterator[sa.Connection]:
    """One transaction, durable when the block has ended, undone by any exception; raises ``RegistryError``."""
    connection.info[_BEGIN] = "BEGIN IMMEDIATE" if write else "BEGIN"
    with explained(path), connection.begin():
        yield connection


def migrate(connection: sa.Connection, path: Path) -> None:
    """Bring a registry of an earlier version, or an empty one, to ours in one transaction.

    Raises ``RegistryError`` where it is of a later version.
    """
    # alembic takes a quarter of a second to import, and most programs find the registry up to date
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "socksfusion.registry:migrations")
    config.attributes["connection"] = connection
    with transaction(connection, path, write=True):
        found = revision(connection)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise RegistryError(
                f"the registry {printable(str(path))} was made by a newer SocksFusion (its version is "
                f"{printable(found)}, this program knows {tables.REVISION}); install the newer one"
            )
        command.upgrade(config, "head")


def revision(connection: sa.Connection) -> str | None:
    """The version of the registry, ``None`` where it has none yet; inside a transaction."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)
