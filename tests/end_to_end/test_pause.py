"""The admin's switch beside the running programs: pause, resume, stop-scan, status."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socksfusion import limits
from socksfusion.exit_codes import ExitCode
from tests.end_to_end.admin import wait_shown
from tests.end_to_end.network import (
    Target,
    echo,
    receive_exactly,
    socks_ask,
    socks_connect,
    socks_open,
    socks_reply,
    was_reset,
)
from tests.end_to_end.programs import Installation, wait_until
from tests.end_to_end.udp import Client
from tests.end_to_end.udp import Target as UDPTarget

PROGRAM = "from socksfusion.cli.agent_program import main; main()"


@pytest.fixture
def target() -> Iterator[Target]:
    with Target(echo) as opened:
        yield opened


def run(copy: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PROGRAM, *arguments, "--copy", str(copy)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def admin(copy: Path, *arguments: str) -> str:
    done = run(copy, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def status(copy: Path) -> dict[str, Any]:
    found = json.loads(admin(copy, "status", "--json"))
    assert isinstance(found, dict)
    return found


def reply(installed: Installation, port: int) -> int:
    code, client = socks_open(installed.clients_port, "127.0.0.1", port)
    client.close()
    return code


def control(copy: Path, data: bytes) -> bytes:
    """What comes back on the control socket, until it is closed."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(f"{copy}.control")
        connection.sendall(data)
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def test_a_pause_cuts_within_a_second_denies_and_is_shown_until_resumed(
    installed: Installation, target: Target
) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    agent = installed.start_agent(copy)
    with socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"before")
        assert receive_exactly(client, 6) == b"before"
        found = status(copy)
        assert (found["state"], found["streams"], found["connected"]) == ("scanning", 1, True)
        assert len(found["scans"]) == 1
        assert admin(copy, "pause") == "paused until it is resumed\n"
        told = time.monotonic()
        assert was_reset(client)
        assert time.monotonic() - told < 1
    assert reply(installed, target.port) == 2
    wait_shown(installed, "demo", paused=True, paused_until=None)
    assert "paused by its admin" in installed.admin("agent", "list")
    assert status(copy)["state"] == "paused"
    assert agent.process.poll() is None
    assert admin(copy, "resume") == "resumed\n"
    wait_shown(installed, "demo", paused=False)
    assert reply(installed, target.port) == 0


def test_a_pause_ends_an_association_within_a_second_and_denies_a_new_one(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    installed.start_agent(copy)
    with UDPTarget() as target, Client(installed.clients_port) as client:
        assert client.ask(b"before", "127.0.0.1", target.port) == b"before"
        assert status(copy)["streams"] == 1
        admin(copy, "pause")
        told = time.monotonic()
        # the association ends with its TCP connection (RFC 1928, section 6)
        assert client.control.recv(1) == b""
        assert time.monotonic() - told < 1
        assert status(copy)["streams"] == 0
        client.send(b"paused", "127.0.0.1", target.port)
        with Client(installed.clients_port) as refused:
            assert refused.reply == 2
        wait_shown(installed, "demo", paused=True, paused_until=None)
        admin(copy, "resume")
        wait_shown(installed, "demo", paused=False)
        with Client(installed.clients_port) as another:
            assert another.ask(b"after", "127.0.0.1", target.port) == b"after"
        assert [payload for payload, _ in target.received] == [b"before", b"after"]


def test_a_pause_outlasts_a_restart_of_the_agent_and_of_the_proxy(installed: Installation, target: Target) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy)
    admin(copy, "pause")
    wait_shown(installed, "demo", paused=True)
    agent.kill()
    assert (copy.with_name("demo.agent.paused").stat().st_mode & 0o777) == 0o600
    agent = installed.start_agent(copy)
    agent.wait_log("the Agent is paused by its admin")
    wait_shown(installed, "demo", paused=True, connected=True)
    assert reply(installed, target.port) == 2
    proxy.stop()
    installed.start_proxy()
    wait_shown(installed, "demo", paused=True, connected=True)
    assert reply(installed, target.port) == 2


def test_without_the_proxy_too(installed: Installation, target: Target) -> None:
    copy = installed.add_agent("demo")
    agent = installed.start_agent(copy, serving=False)
    agent.wait_out("Connecting to server...")
    wait_until(Path(f"{copy}.control").exists, lambda: agent.log)
    admin(copy, "pause")
    found = status(copy)
    assert (found["state"], found["connected"]) == ("paused", False)
    assert found["last_error"]
    installed.start_proxy()
    agent.wait_log("serving as agent")
    wait_shown(installed, "demo", paused=True, connected=True)
    assert reply(installed, target.port) == 2


def test_a_pause_for_a_time_ends_by_itself(installed: Installation, target: Target) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    agent = installed.start_agent(copy)
    until = admin(copy, "pause", "--for", "2s")
    assert until.startswith("paused until 20")
    assert reply(installed, target.port) == 2
    agent.wait_log("resumed by itself")
    wait_shown(installed, "demo", paused=False)
    assert reply(installed, target.port) == 0
    assert not copy.with_name("demo.agent.paused").exists()


def test_stop_scan_cuts_and_ends_the_scan_at_the_proxy(installed: Installation, target: Target) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    agent = installed.start_agent(copy)
    with socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        agent.wait_out("Scan is started")
        assert admin(copy, "stop-scan") == "stopped\n"
        assert was_reset(client)
    wait_until(lambda: not status(copy)["scans"], lambda: status(copy))


def test_an_open_that_is_under_way_is_told_that_the_agent_is_paused(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    installed.start_agent(copy, "--dials", "1")
    with socket.socket() as full:
        # a listener that takes no more: the kernel drops further SYNs
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with (
            socket.create_connection(full.getsockname()),
            socks_ask(installed.clients_port, "127.0.0.1", full.getsockname()[1]) as client,
        ):
            wait_until(lambda: status(copy)["streams"] == 1, lambda: status(copy))
            admin(copy, "pause")
            assert socks_reply(client) == 2


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b'{"do": "rm"}\n',
        b'{"do": "pause", "seconds": -1}\n',
        b'{"do":"pause","seconds":1e999}\n',
        b"\xff\x00\n",
        b"[" * 2000 + b"\n",
        b"x" * (limits.CONTROL_LINE_BYTES + 1),
    ],
    ids=["empty", "object", "list", "unknown", "past", "endless", "bytes", "nested", "long"],
)
def test_what_is_no_command_ends_its_connection_only(installed: Installation, garbage: bytes) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    installed.start_agent(copy)
    answer = control(copy, garbage)
    assert not answer or json.loads(answer)["ok"] is False
    assert status(copy)["paused"] is False


def test_the_socket_is_its_users_alone_and_one_agents(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    first = installed.start_agent(copy)
    where = Path(f"{copy}.control")
    assert (where.stat().st_mode & 0o777) == 0o600
    second = installed.start_agent(copy, serving=False)
    second.wait_log("another Agent has it")
    second.kill()
    assert status(copy)["connected"] is True
    first.kill()
    assert where.exists(), "it was killed"
    installed.start_agent(copy)
    assert status(copy)["connected"] is True


def test_no_agent_is_told_in_one_line(installed: Installation) -> None:
    done = run(installed.folder / "none.agent", "status")
    assert done.returncode == ExitCode.UNEXPECTED
    assert "no Agent answers at" in done.stderr
    assert done.stderr.count(os.linesep) == 1
