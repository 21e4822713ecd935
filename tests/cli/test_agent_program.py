"""``socksfusion-agent`` with a command: beside the Agent, and without the Proxy's packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from socksfusion import __version__
from socksfusion.cli.agent_program import COMMANDS, Command, run_command
from socksfusion.errors import CopyError
from socksfusion.exit_codes import ExitCode

ROOT = Path(__file__).parent.parent.parent
MAIN = "from socksfusion.cli.agent_program import main; main()"
PROXYS_OWN = ("socksfusion.proxy", "socksfusion.registry", "socksfusion.manhole", "sqlalchemy", "alembic", "click")


def run(*arguments: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", before + MAIN, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_tells_the_agents_version(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(command.name, ["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"socksfusion-agent {__version__}\n"


def test_help_tells_the_commands_after_the_options() -> None:
    done = run("--help")
    assert done.returncode == 0
    options, _, commands = done.stdout.partition("Commands (socksfusion-agent COMMAND --help tells more):")
    assert "--copy" in options
    assert [line.split()[0] for line in commands.split("\n") if line] == [command.name for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_of_its_own(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run_command(command.name, ["--help"])  # type: ignore[attr-defined]
    assert raised.value.code in (0, None)
    assert capsys.readouterr().out.startswith(f"Usage: socksfusion-agent {command.name}")  # type: ignore[attr-defined]


def test_a_word_that_is_no_command_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command("expalin", []) is ExitCode.USAGE
    assert capfd.readouterr().err == (
        "socksfusion-agent: 'expalin' is no command (--help tells the commands and options)\n"
    )


def test_what_goes_wrong_is_one_line_and_a_code(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_arguments: object) -> ExitCode:
        raise CopyError("the copy\nis damaged")

    assert run_command("explain", ["--no-such"]) is ExitCode.USAGE
    monkeypatch.setattr("socksfusion.cli.agent_program.COMMANDS", (type(COMMANDS[0])("fails", "", fails),))
    assert run_command("fails", []) is ExitCode.STATE
    assert capfd.readouterr().err.splitlines() == [
        "socksfusion-agent: option --no-such not recognized (explain --help tells the options)",
        "socksfusion-agent: the copy\\nis damaged",
    ]


def test_commands_import_nothing_of_the_proxys_and_no_reactor() -> None:
    before = "import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules)));"
    done = run("explain", "192.0.2.1:80", "--allow", "192.0.2.0/24", before=before)
    assert done.returncode == 0
    imported = done.stdout.split()
    assert "socksfusion.agent.policy" in imported
    assert [name for name in imported if name.startswith(PROXYS_OWN) or name == "twisted.internet.reactor"] == []
