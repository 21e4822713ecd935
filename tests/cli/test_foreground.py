"""The console scripts that run the twistd plugins in the foreground."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from socksfusion.cli.foreground import split_arguments

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = {
    "proxy": "from socksfusion.cli.foreground import proxy; proxy()",
    "agent": "from socksfusion.cli.agent_program import main; main()",
}


def run(program: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", SCRIPTS[program], *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "for_twistd", "own"),
    [
        (["--copy", "a"], [], ["--copy", "a"]),
        (["--logfile", "l", "--copy", "a"], ["--logfile", "l"], ["--copy", "a"]),
        (["--copy", "a", "--logfile=l", "--reactor=poll"], ["--logfile=l", "--reactor=poll"], ["--copy", "a"]),
        (["--logfile"], ["--logfile"], []),
    ],
)
def test_what_is_twistds_goes_to_twistd(arguments: list[str], for_twistd: list[str], own: list[str]) -> None:
    assert split_arguments(arguments) == (for_twistd, own)


def test_help_names_the_script(tmp_path: Path) -> None:
    done = run("agent", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: socksfusion-agent --copy NAME.agent [options]\n")


@pytest.mark.parametrize(
    ("program", "arguments", "code", "complaint"),
    [
        ("agent", [], 2, "--copy FILE is missing"),
        ("agent", ["--copy", "none.agent"], 3, "none.agent"),
        ("agent", ["--copy", "a", "--reactor=none"], 2, "reactor does not exist"),
        ("agent", ["--copy", "a", "--proxy", "host:0"], 2, "port"),
        ("proxy", ["--state", "none"], 3, "there is no state folder"),
        ("proxy", ["--state", "none", "--clients", "tcp:1080"], 2, "can be reached from other hosts"),
        ("proxy", ["--state", "none", "--hold", "-1"], 2, "--hold: '-1' is not a number of seconds above 0"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    tmp_path: Path, program: str, arguments: list[str], code: int, complaint: str
) -> None:
    done = run(program, *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"socksfusion-{program}: ")
    assert complaint in line
    assert list(tmp_path.iterdir()) == []
