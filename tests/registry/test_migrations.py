import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from socksfusion.registry import database, tables
from socksfusion.registry.database import transaction
from socksfusion.registry.schema import Agent, AgentKey, Scan
from socksfusion.registry.store import Registry, RegistryError
from tests.registry.conftest import NEW, OLD


def set_revision(registry: Registry, revision: str) -> None:
    with transaction(registry._session.connection, registry.path, write=True) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_the_scripts_make_the_tables_that_the_program_uses(registry: Registry) -> None:
    with transaction(registry._session.connection, registry.path, write=False) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == tables.REVISION


def test_the_newest_script_is_the_programs_version() -> None:
    config = Config()
    config.set_main_option("script_location", "socksfusion.registry:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [tables.REVISION]


def first_version(path: Path) -> None:
    """A registry as the first version made it, with an agent and its key, a running scan and one that is over."""
    database.create_file(path)
    connection = database.connect(path)
    config = Config()
    config.set_main_option("script_location", "socksfusion.registry:migrations")
    config.attributes["connection"] = connection
    with transaction(connection, path, write=True):
        command.upgrade(config, "0001")
        for statement in (
            "INSERT INTO agents VALUES ('acme', 0, 1081, 'proxy.example.org:443', 1.0, 1, 2.0, '192.0.2.7:4000', '0.1',"
            " 'carrier lost')",
            "INSERT INTO agents VALUES ('gone', 1, NULL, NULL, 1.5, 0, NULL, NULL, NULL, NULL)",
            f"INSERT INTO keys VALUES (7, x'{OLD.hex()}', 'acme', 'active', 3.0)",
            "INSERT INTO scans VALUES ('one', 'acme', 4.0, NULL, 5.0)",
            "INSERT INTO scans VALUES ('two', 'gone', 4.0, 6.0, 5.5)",
        ):
            connection.execute(sa.text(statement))
    connection.close()
    connection.engine.dispose()


def test_a_registry_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    first_version(path)
    with Registry.open(path) as registry:
        acme, gone = registry.agents()
        assert acme == Agent(
            "acme", False, 1081, "proxy.example.org:443", 1.0, True, 2.0, "192.0.2.7:4000", "0.1", "carrier lost"
        )
        assert (gone.name, gone.revoked, gone.scope, gone.expires, gone.paused) == ("gone", True, (), None, False)
        assert registry.agent_keys("acme") == [AgentKey(OLD, "acme", "active", 3.0)]
        snapshot = registry.snapshot()
        assert dict(snapshot.scans) == {"one": Scan("one", "acme", 4.0, None, 5.0)}
        assert not snapshot.clients
        registry.renew_agent("acme", NEW)
        with transaction(registry._session.connection, path, write=False) as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, tables.metadata) == []
            numbers = connection.execute(sa.text("SELECT number FROM keys ORDER BY number")).scalars().all()
            assert numbers == [7, 8], "the order of keys goes on"
            assert connection.scalar(sa.text("SELECT ended FROM scans WHERE id = 'two'")) == 6.0


def test_a_newer_registry_is_told_and_left_alone(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    set_revision(registry, "9999")
    registry.close()
    before = registry.path.read_bytes()
    with pytest.raises(RegistryError, match=r"made by a newer SocksFusion \(its version is 9999"):
        Registry.open(registry.path)
    assert registry.path.read_bytes() == before


def test_a_failed_migration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "registry.sqlite"
    database.create_file(path)
    connection = database.connect(path)

    def fails(*_arguments: object, **_options: object) -> None:
        connection.execute(sa.text("CREATE TABLE half (a)"))
        raise RuntimeError("power loss")

    monkeypatch.setattr("alembic.command.upgrade", fails)
    with pytest.raises(RuntimeError, match="power loss"):
        database.migrate(connection, path)
    with transaction(connection, path, write=False):
        assert sa.inspect(connection).get_table_names() == []
    connection.close()


def test_an_open_registry_needs_no_alembic(registry: Registry) -> None:
    """Its import takes as long as everything else together."""
    program = (
        "import sys; from pathlib import Path; from socksfusion.registry.store import Registry; "
        f"Registry.open(Path({str(registry.path)!r})).close(); assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_agent_needs_no_registry() -> None:
    program = (
        "import sys; import socksfusion.identity.copy, socksfusion.identity.tls; "
        "assert not {'alembic', 'sqlalchemy', 'click'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
