"""What a shell's completion offers: click's, and the names of the registry."""

import subprocess

import pytest

from socksfusion.identity.state import StateFolder
from socksfusion.registry.schema import Scan
from socksfusion.registry.store import Registry
from tests.cli.conftest import Command, process


def offered(folder: StateFolder, line: str) -> list[str]:
    words = line.split(" ")
    result = process(
        _SOCKSFUSION_COMPLETE="bash_complete",
        COMP_WORDS="\n".join(words),
        COMP_CWORD=str(len(words) - 1),
        SOCKSFUSION_STATE=str(folder.path),
    )
    assert (result.returncode, result.stderr) == (0, "")
    return [item.partition(",")[2] for item in result.stdout.split()]


@pytest.fixture
def filled(ready: Command, registry: Registry) -> Registry:
    for name in ("acme", "bolt"):
        ready("agent", "add", name)
    registry.clients.add("alice", b"t" * 32)
    registry.scans.start(Scan("0123", "acme", 5.0, None, 5.0))
    registry.scans.start(Scan("0456", "acme", 5.0, None, 5.0))
    registry.scans.end("0456", 6.0)
    return registry


def test_commands_and_names(filled: Registry, folder: StateFolder) -> None:
    assert {"agent", "client", "scan"} <= set(offered(folder, "socksfusion "))
    assert offered(folder, "socksfusion agent show ") == ["acme", "bolt"]
    assert offered(folder, "socksfusion scan start a") == ["acme"]
    assert offered(folder, "socksfusion client revoke ") == ["alice"]
    assert sorted(offered(folder, "socksfusion scan show ")) == ["0123", "0456"]
    assert offered(folder, "socksfusion scan stop ") == ["0123"]


def test_names_between_commas(filled: Registry, folder: StateFolder) -> None:
    assert offered(folder, "socksfusion client agents alice ") == ["acme", "bolt"]
    assert offered(folder, "socksfusion client agents alice acme,") == ["acme,bolt"]
    assert offered(folder, "socksfusion client add bob --agents acme,b") == ["acme,bolt"]
    assert offered(folder, "socksfusion agent show acme,") == []


def test_a_prompt_is_no_place_for_errors(folder: StateFolder) -> None:
    assert offered(folder, "socksfusion agent show ") == []


def test_what_the_help_says_to_type() -> None:
    script = process(_SOCKSFUSION_COMPLETE="bash_source")
    assert script.returncode == 0
    assert subprocess.run(["bash", "-n"], input=script.stdout, text=True, check=False).returncode == 0
    assert "_SOCKSFUSION_COMPLETE=bash_complete" in script.stdout
