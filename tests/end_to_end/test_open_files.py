"""The limit of open files is reached (attacks.md, row J1): nobody who works is disturbed, admins get in, it passes."""

import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, socks_open
from tests.end_to_end.programs import Installation, Program, free_port, installation, wait_until

LIMIT = 128
LIMITED = ("sh", "-c", f'ulimit -n {LIMIT} && exec "$@"', "sh")
FLOOD = 300


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("files")) as made:
        made.add_agent("demo")
        yield made
        for program in made.programs:
            assert not any("Traceback" in line or "Unhandled" in line for line in program.log), program.log


def start(made: Installation, *, proxy: tuple[str, ...] = (), agent: tuple[str, ...] = ()) -> tuple[Program, Program]:
    made.prefix = proxy
    started = made.start_proxy()
    made.prefix = agent
    return started, made.start_agent(made.folder / "demo.agent")


def processor_seconds(program: Program) -> float:
    with open(f"/proc/{program.pid}/stat") as file:
        user, system = file.read().rsplit(") ", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def said(client: socket.socket) -> bool:
    client.sendall(b"calm")
    return receive_exactly(client, 4) == b"calm"


def test_j1_more_clients_than_files(made: Installation) -> None:
    proxy, _ = start(made, proxy=LIMITED)
    with Target(echo) as target, socks_connect(made.clients_port, "127.0.0.1", target.port) as client:
        assert said(client)
        before, lines, began, spent = proxy.descriptors(), len(proxy.log), time.monotonic(), processor_seconds(proxy)
        crowd = [socket.create_connection(("127.0.0.1", made.clients_port), 10) for _ in range(FLOOD)]
        proxy.wait_log("rule=descriptors", since=lines)
        assert said(client)
        assert proxy.descriptors() <= LIMIT * 8 // 10 + 1

        # what an admin does still takes effect
        port = free_port()
        made.admin("agent", "port", "demo", str(port))
        proxy.wait_log(f"agent demo has port {port}", since=lines)
        assert "demo" in made.admin("agent", "list")
        seconds = time.monotonic() - began
        assert processor_seconds(proxy) - spent < seconds / 2
        told = Counter(line.split("] ", 1)[-1].split(" peer=")[0] for line in proxy.log[lines:])
        assert told["refused rule=descriptors"] <= seconds + 1, proxy.log
        assert not any("EMFILE" in line for line in proxy.log), proxy.log

        for connection in crowd:
            connection.close()
        wait_until(lambda: proxy.descriptors() <= before + 1, proxy.descriptors)
        with socks_connect(made.clients_port, "127.0.0.1", target.port) as another:
            assert said(another)


def test_j1_more_targets_than_the_agent_has_files(made: Installation) -> None:
    """What could not be dialled is answered *not tested*, and the Agent does not call it unreachable."""
    _, agent = start(made, agent=("sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"))
    before = agent.descriptors()
    with Target(echo) as target, socks_connect(made.clients_port, "127.0.0.1", target.port) as client:
        opened = [socks_open(made.clients_port, "127.0.0.1", target.port) for _ in range(100)]
        replies = Counter(reply for reply, _ in opened)
        assert set(replies) == {0, 1}
        assert agent.descriptors() <= 64 - 16 + 1
        assert said(client)
        assert not any("unreachable" in message for message in agent.messages)
        agent.wait_log("refused rule=descriptors")
        for _, connection in opened:
            connection.close()
        wait_until(lambda: agent.descriptors() <= before + 1, agent.descriptors)
        with socks_connect(made.clients_port, "127.0.0.1", target.port) as another:
            assert said(another)


def test_j1_a_reactor_that_watches_few_files_gets_no_more(made: Installation) -> None:
    """Twisted's select reactor would drop connections whose descriptor is 1024 or above."""
    made.reactor = "select"
    proxy, agent = start(made)
    for program in (proxy, agent):
        soft, _ = resource.prlimit(program.pid, resource.RLIMIT_NOFILE)
        assert soft <= 1024
