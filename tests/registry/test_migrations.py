import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from socksfusion.registry import database, schema
from socksfusion.registry.database import transaction
from socksfusion.registry.store import Registry, RegistryError
from tests.registry.conftest import OLD


def set_revision(registry: Registry, revision: str) -> None:
    with transaction(registry._connection, registry.path, write=True) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_the_scripts_make_the_tables_that_the_program_uses(registry: Registry) -> None:
    with transaction(registry._connection, registry.path, write=False) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.REVISION


def test_the_newest_script_is_the_programs_version() -> None:
    config = Config()
    config.set_main_option("script_location", "socksfusion.registry:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.REVISION]


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
