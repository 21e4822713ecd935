import stat

import pytest

from socksfusion.identity.state import StateFolder
from socksfusion.registry.store import Registry
from tests.cli.conftest import Command


def contents(folder: StateFolder) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.path.iterdir()}


def test_init_makes_everything_and_says_what_to_type_next(run: Command, folder: StateFolder) -> None:
    result = run("init", "--name", "proxy.example.org", "--name", "192.0.2.1")
    assert result.exit_code == 0
    assert "proxy.example.org, 192.0.2.1, localhost, 127.0.0.1, ::1" in result.stdout
    assert "socksfusion agent add NAME " in result.stdout
    assert "twistd -n --pidfile= socksfusion-proxy " in result.stdout
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert folder.open().names() == ["proxy.example.org", "192.0.2.1"]
    Registry.open(folder.registry_file).close()


def test_the_next_commands_name_the_folder_where_the_environment_does_not(
    run: Command, folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOCKSFUSION_STATE")
    result = run("init", "--state", str(folder.path))
    assert f"socksfusion --state {folder.path} agent add NAME --proxy HOST:PORT" in result.stdout
    assert f"socksfusion-proxy --state {folder.path}" in result.stdout


@pytest.mark.parametrize("again", [[], ["--name", "proxy.example.org"], ["--name", "localhost"]])
def test_twice_changes_nothing_and_says_so(ready: Command, folder: StateFolder, again: list[str]) -> None:
    before = contents(folder)
    result = ready("init", *again)
    assert result.exit_code == 0
    assert "nothing was changed" in result.stdout
    assert contents(folder) == before


def test_a_new_name_is_added(ready: Command, folder: StateFolder) -> None:
    before = contents(folder)
    result = ready("init", "--name", "new.example.org")
    assert result.exit_code == 0
    assert "Added new.example.org" in result.stdout
    assert folder.names() == ["proxy.example.org", "new.example.org"]
    after = contents(folder)
    assert {name for name in after if after[name] != before.get(name)} == {"proxy.pem"}


def test_a_bad_name(run: Command, folder: StateFolder) -> None:
    result = run("init", "--name", "*.example.org")
    assert result.exit_code == 2
    assert result.stderr.startswith("socksfusion: '*.example.org' is neither")
    assert not folder.path.exists()


def test_a_folder_with_other_things(run: Command, folder: StateFolder) -> None:
    folder.path.mkdir()
    (folder.path / "photo.jpg").touch()
    result = run("init")
    assert result.exit_code == 3
    assert "holds other files" in result.stderr
    assert len(result.stderr.splitlines()) == 1
