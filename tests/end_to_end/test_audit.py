"""The records of Agent and Proxy: the same opens, line by line."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, socks_open
from tests.end_to_end.programs import Installation, free_port, wait_until

SHARED = ("kind", "id", "agent", "scan", "client", "host", "port", "reply", "result", "to_target", "to_client")


@pytest.fixture
def target() -> Iterator[Target]:
    with Target(echo) as opened:
        yield opened


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_both_sides_tell_the_same_line_by_line(installed: Installation, target: Target) -> None:
    ours, theirs = installed.folder / "proxy.audit", installed.folder / "agent.audit"
    copy = installed.add_agent("demo")
    installed.start_proxy("--audit", str(ours))
    installed.start_agent(copy, "--audit", str(theirs))
    for size in (0, 5, 70_000):
        with socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
            client.sendall(b"x" * size)
            client.shutdown(socket.SHUT_WR)
            assert len(receive_exactly(client, size)) == size
            assert client.recv(1) == b""
    closed = free_port()
    for host, port, reply in (("127.0.0.1", closed, 5), ("169.254.169.254", 80, 2), ("no\x1b[31m.invalid", 80, 4)):
        code, client = socks_open(installed.clients_port, host, port)
        client.close()
        assert code == reply
    wait_until(lambda: len(lines(ours)) == len(lines(theirs)) == 6, lambda: (lines(ours), lines(theirs)))
    by_id = {line["id"]: line for line in lines(theirs)}
    assert len(by_id) == 6
    for line in lines(ours):
        other = by_id[line["id"]]
        assert {name: line[name] for name in SHARED} == {name: other[name] for name in SHARED}
        assert list(line) == list(other), "one schema"
        assert (line["side"], other["side"]) == ("proxy", "agent")
        assert line["peer"].startswith("127.0.0.1:")
        assert line["scan"]
    told = [(line["reply"], line["to_target"], line["to_client"]) for line in lines(theirs)]
    assert sorted(told) == [(0, 0, 0), (0, 5, 5), (0, 70_000, 70_000), (2, 0, 0), (4, 0, 0), (5, 0, 0)]
    rules = {line["host"]: line["rule"] for line in lines(theirs)}
    assert rules["169.254.169.254"] == "link-local"
    assert {line["dialled"] for line in lines(theirs) if line["reply"] == 0} == {"127.0.0.1"}
    for file in (ours, theirs):
        assert file.stat().st_mode & 0o777 == 0o600
        assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in file.read_bytes())


def test_what_a_pause_cuts_and_denies_stands_in_the_record_when_the_agent_has_ended(
    installed: Installation, target: Target
) -> None:
    file = installed.folder / "agent.audit"
    copy = installed.add_agent("demo")
    installed.start_proxy()
    agent = installed.start_agent(copy, "--audit", str(file))
    with socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"before")
        assert receive_exactly(client, 6) == b"before"
        agent.stop()
    (line,) = lines(file)
    assert (line["reply"], line["to_target"], line["to_client"]) == (0, 6, 6)
