"""What the running Agent imports, as anybody has installed it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.bundle.test_contents import forbidden
from tests.end_to_end.programs import Installation, Program, installation

AGENT = (
    "import sys; from twisted.internet import reactor;"
    "tell = lambda: print('imported', *sorted(sys.modules), file=sys.__stderr__);"
    "reactor.addSystemEventTrigger('after', 'shutdown', tell);"
    "from socksfusion.cli.agent_program import main; main()"
)
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if any(f"{name}.".startswith(f"{one}.") for one in (
            "sqlalchemy", "alembic", "click", "twisted.conch", "socksfusion.proxy", "socksfusion.registry")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


def run(installed: Installation, source: str) -> Program:
    copy = installed.add_agent("demo")
    command = [sys.executable, "-c", source, "--copy", str(copy)]
    agent = Program(command, environment={"PYTHONPATH": os.getcwd()}, cwd=installed.folder)
    installed.programs.append(agent)
    agent.wait_log("serving as agent")
    return agent


def test_the_running_agent_imports_nothing_of_the_proxys(tmp_path: Path) -> None:
    with installation(tmp_path) as installed:
        installed.start_proxy()
        agent = run(installed, AGENT)
        agent.stop()
        (line,) = [line for line in agent.log if line.startswith("imported ")]
    imported = set(line.split())
    assert {"socksfusion.agent.connector", "socksfusion.agent.outbound.settings"} <= imported
    assert forbidden(imported) == set()


def test_it_runs_where_the_proxys_packages_are_not_installed(tmp_path: Path) -> None:
    with installation(tmp_path) as installed:
        installed.start_proxy()
        agent = run(installed, WITHOUT + AGENT)
        assert agent.stop() == -15


def test_the_hindrance_hinders() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT + "import click"], capture_output=True, check=False)
    assert done.returncode == 1
