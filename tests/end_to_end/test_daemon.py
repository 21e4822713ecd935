"""Both programs in the background, as plain ``twistd`` runs them: they fork first, and messages go to the log."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import TWISTD, Installation, wait_until


class Daemon:
    def __init__(self, installed: Installation, name: str, *arguments: str) -> None:
        self._pid_file = installed.folder / f"{name}.pid"
        self._log_file = installed.folder / f"{name}.log"
        files = f"--pidfile={self._pid_file}", f"--logfile={self._log_file}"
        command = [sys.executable, "-c", TWISTD, *files, f"socksfusion-{name}", *arguments]
        done = subprocess.run(command, cwd=installed.folder, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        wait_until(self._pid_file.exists, self.log)
        self._pid = int(self._pid_file.read_text())

    def log(self) -> str:
        return self._log_file.read_text() if self._log_file.exists() else ""

    def wait_log(self, text: str) -> None:
        wait_until(lambda: text in self.log(), self.log)

    def stop(self) -> None:
        os.kill(self._pid, signal.SIGTERM)
        self.wait_log("Server Shut Down.")
        wait_until(lambda: not self._pid_file.exists(), self.log)

    def kill(self) -> None:
        if Path(f"/proc/{self._pid}").exists():
            os.kill(self._pid, signal.SIGKILL)


@pytest.fixture
def daemons(installed: Installation) -> Iterator[list[Daemon]]:
    started: list[Daemon] = []
    yield started
    for daemon in started:
        daemon.kill()


def test_daemons_serve_and_write_the_messages_to_the_log(installed: Installation, daemons: list[Daemon]) -> None:
    copy = installed.add_agent("demo")
    agents, clients = (f"tcp:{port}:interface=127.0.0.1" for port in (installed.agents_port, installed.clients_port))
    proxy = Daemon(installed, "proxy", "--state", str(installed.state), "--agents", agents, "--clients", clients)
    daemons.append(proxy)
    agent = Daemon(installed, "agent", "--copy", str(copy), "--allow", "127.0.0.0/8")
    daemons.append(agent)
    agent.wait_log("serving as agent")
    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"through a daemon")
        assert receive_exactly(client, 16) == b"through a daemon"
    installed.admin("agent", "revoke", "demo")
    agent.wait_log("This agent is not registered")
    for message in ("Connecting to server...", "Connection established", "Scan is started"):
        assert message in agent.log()
    for daemon in (agent, proxy):
        daemon.stop()
        assert "Traceback" not in daemon.log()
