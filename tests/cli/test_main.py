"""The command as a whole, most of it as a real process."""

import os
import sys
from pathlib import Path

import pytest

from socksfusion import __version__
from socksfusion.cli.main import main
from socksfusion.identity.state import StateFolder
from tests.cli.conftest import Command, process

COMMANDS = [
    ["init"],
    *(["agent", name] for name in ("add", "list", "show", "renew", "revoke", "restore", "remove", "port", "token")),
    *(["agent", name] for name in ("link", "links")),
    *(["client", name] for name in ("add", "list", "show", "renew", "revoke", "restore", "agents", "allow")),
    ["release", "import"],
    *(["scan", name] for name in ("start", "list", "show", "stop", "prune", "watch")),
]


def test_a_first_use_as_processes(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    assert process("init", "--name", "localhost", "--state", state).returncode == 0
    copy = str(tmp_path / "acme.agent")
    added = process("agent", "add", "acme", "--out", copy, "--proxy", "localhost", SOCKSFUSION_STATE=state)
    assert (added.returncode, added.stderr) == (0, "")
    listed = process("--state", state, "agent", "list")
    assert "acme" in listed.stdout
    assert process("agent", "revoke", "acme", "--state", state).returncode == 0


def test_version() -> None:
    result = process("--version")
    assert (result.returncode, result.stdout) == (0, f"socksfusion {__version__}\n")


def test_every_command_is_tested_here() -> None:
    listed = [[name, *inner] for name, command in main.commands.items() for inner in inner_commands(command)]
    assert sorted(listed) == sorted(COMMANDS)


def inner_commands(command: object) -> list[list[str]]:
    inner = getattr(command, "commands", None)
    return [[]] if inner is None else [[name] for name in inner]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_examples(run: Command, command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"socksfusion {' '.join(command)}" in result.stdout.split("Example")[1]
    assert "--state DIR" in result.stdout


def test_the_inner_state_option_wins(ready: Command, folder: StateFolder, tmp_path: Path) -> None:
    assert ready("--state", str(tmp_path / "none"), "agent", "list", "--state", str(folder.path)).exit_code == 0
    assert ready("--state", str(tmp_path / "none"), "agent", "list").exit_code == 3


def test_no_state_folder_given() -> None:
    result = process("agent", "list")
    assert result.returncode == 2
    assert result.stderr == (
        "socksfusion: say where the state folder is: --state DIR, or the environment variable SOCKSFUSION_STATE\n"
    )


@pytest.mark.parametrize(
    ("arguments", "command"),
    [(["--jso"], ""), (["inti"], ""), (["agent", "ad"], " agent"), (["agent", "add"], " agent add")],
)
def test_wrong_usage_is_one_line(run: Command, arguments: list[str], command: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("socksfusion: ")
    assert result.stderr.endswith(f" (socksfusion{command} --help tells more)\n")
    assert result.stderr.count("\n") == 1


def test_no_command_shows_help(run: Command) -> None:
    result = run("agent")
    assert result.exit_code == 2
    assert "Commands:" in result.stderr
    assert "..." not in result.stderr.split("Commands:")[1]


def test_an_unknown_variable(tmp_path: Path) -> None:
    """Row F2: a setting that is silently unread."""
    result = process("init", "--state", str(tmp_path / "state"), SOCKSFUSION_STATES="x")
    assert result.returncode == 2
    assert "unknown environment variable SOCKSFUSION_STATES" in result.stderr
    assert not (tmp_path / "state").exists()


def spoil_mode(folder: StateFolder) -> None:
    folder.ca_key_file.chmod(0o644)


def spoil_folder_mode(folder: StateFolder) -> None:
    folder.path.chmod(0o755)


def spoil_version(folder: StateFolder) -> None:
    folder.version_file.write_text("2\n")


def spoil_registry(folder: StateFolder) -> None:
    folder.registry_file.write_bytes(b"\xff" * 8192)


def spoil_key(folder: StateFolder) -> None:
    folder.ca_key_file.write_bytes(folder.ca_key_file.read_bytes()[:50])


def spoil_owner(folder: StateFolder) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folder.path, 54321, 54321)


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (spoil_mode, 2, "chmod 600"),
        (spoil_folder_mode, 2, "chmod 700"),
        (spoil_version, 3, "is of version 2"),
        (spoil_registry, 3, "is damaged"),
        (spoil_key, 3, "is damaged"),
        (spoil_owner, 3, "belongs to user"),
    ],
)
def test_a_spoiled_state_folder_is_one_clear_line(
    ready: Command, folder: StateFolder, spoil: object, code: int, said: str
) -> None:
    spoil(folder)  # type: ignore[operator]
    result = process("agent", "list", SOCKSFUSION_STATE=str(folder.path))
    assert result.returncode == code
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("socksfusion: ")
    assert said in line


def test_a_part_that_is_not_installed(tmp_path: Path) -> None:
    """An Agent's machine has neither click nor SQLAlchemy."""
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(name='click')")
    result = process("agent", "list", PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    assert result.returncode == 1
    assert result.stderr == (
        "socksfusion: click is not installed here; install SocksFusion with its extra proxy; in a clone: "
        "pip install '.[proxy]'\n"
    )
