"""The Agent with nothing that POSIX alone has, on both reactors that every system has."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end import elsewhere
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, socks_open
from tests.end_to_end.programs import Installation, Program

ROOT = Path(__file__).parent.parent.parent
NO_PROC = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
BULK = bytes(range(256)) * 4096


def prefix() -> list[str]:
    """What runs a command without /proc; nothing where this machine does not let us hide it."""
    tried = subprocess.run([*NO_PROC, "true"], capture_output=True, check=False)
    return NO_PROC if tried.returncode == 0 else []


def start(installed: Installation, reactor: str) -> Program:
    copy = installed.add_agent("demo")
    command = [*prefix(), sys.executable, elsewhere.__file__, "--copy", str(copy), "--allow", "127.0.0.0/8"]
    agent = Program([*command, "--reactor", reactor], environment={"PYTHONPATH": str(ROOT)}, cwd=installed.folder)
    installed.programs.append(agent)
    agent.wait_log("serving as agent")
    agent.wait_out("Connection established")
    return agent


@pytest.fixture(params=["asyncio", "select"])
def agent(installed: Installation, request: pytest.FixtureRequest) -> Program:
    installed.start_proxy()
    return start(installed, request.param)


def test_it_serves(installed: Installation, agent: Program) -> None:
    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(BULK)
        assert receive_exactly(client, len(BULK)) == BULK
    reply, client = socks_open(installed.clients_port, "127.0.0.1", target.port)
    client.close()
    assert reply == 5
    agent.wait_out("Target is unreachable: 127.0.0.1")
    assert agent.stop() == -15
    assert [line for line in agent.log if "Traceback" in line] == []


def test_curl_goes_through_it(installed: Installation, agent: Program) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl (Debian: curl)")

    def page(connection: object) -> None:
        connection.recv(4096)  # type: ignore[attr-defined]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ninside")  # type: ignore[attr-defined]

    with Target(page) as target:
        url = f"http://127.0.0.1:{target.port}/"
        command = ["curl", "-sS", "--socks5-hostname", f"127.0.0.1:{installed.clients_port}", url]
        assert subprocess.run(command, capture_output=True, check=True, timeout=30).stdout == b"inside"


def test_it_would_notice(tmp_path: Path) -> None:
    """A module of ours that relied on one of them fails."""
    package = tmp_path / "socksfusion"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for number, line in enumerate(["import fcntl", "import os; os.geteuid", "from socket import AF_UNIX"]):
        (package / f"m{number}.py").write_text(line)
        source = f"from tests.end_to_end.elsewhere import take_away; take_away(); import socksfusion.m{number}"
        command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; {source}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 1
        assert b"Error" in done.stderr
