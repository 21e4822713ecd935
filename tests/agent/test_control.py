"""The control socket's bounds: how many, how long, and what is taken for a command."""

import json
import socket
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport

from socksfusion import limits
from socksfusion.agent.control import (
    SUPPORTED,
    Commands,
    Control,
    ControlConnection,
    ControlFactory,
    control_path,
    pause_path,
)
from socksfusion.agent.status import Status
from socksfusion.agent.switch import Switch
from socksfusion.errors import UsageError


class FakeStatus:
    def report(self) -> dict[str, Any]:
        return {"state": "serving"}


class Socket:
    """A control socket without one."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.switch = Switch(self.clock, folder / "paused", wall_clock=lambda: 1_700_000_000.0)
        self.factory = ControlFactory(self.clock, Commands(self.switch, cast(Status, FakeStatus())))

    def connect(self) -> tuple[ControlConnection, StringTransport]:
        connection = self.factory.buildProtocol(None)
        assert connection is not None
        transport = StringTransport()
        connection.makeConnection(transport)
        return connection, transport


@pytest.fixture
def control(tmp_path: Path) -> Socket:
    return Socket(tmp_path)


def test_commands_are_answered_a_line_each_on_one_connection(control: Socket) -> None:
    connection, transport = control.connect()
    connection.dataReceived(b'{"do": "pause", "seconds": 60}\n{"do": "sta')
    connection.dataReceived(b'tus"}\n{"do": "resume"}\n')
    answers = [json.loads(line) for line in transport.value().splitlines()]
    assert answers == [{"ok": True, "trouble": "", "state": "serving"}] * 3
    assert not control.switch.paused
    assert not transport.disconnecting


@pytest.mark.parametrize(
    "seconds", [True, "60", [], 0, -1, limits.PAUSE_LARGEST_SECONDS + 1, 10**400, float("nan")], ids=repr
)
def test_a_span_that_is_none_pauses_nothing(control: Socket, seconds: object) -> None:
    connection, transport = control.connect()
    connection.dataReceived(json.dumps({"do": "pause", "seconds": seconds}).encode() + b"\n")
    assert json.loads(transport.value())["ok"] is False
    assert transport.disconnecting
    assert not control.switch.paused


def test_one_who_says_nothing_is_sent_away(control: Socket) -> None:
    _, transport = control.connect()
    control.clock.advance(limits.CONTROL_SECONDS)
    assert transport.disconnected or transport.disconnecting


def test_connections_at_once_are_bounded_and_each_end_makes_room(control: Socket) -> None:
    connections = [control.connect()[0] for _ in range(limits.CONTROL_CONNECTIONS)]
    assert control.factory.buildProtocol(None) is None
    connections[0].connectionLost()
    control.connect()
    for connection in list(control.factory.connections):
        connection.connectionLost()
    assert not control.clock.getDelayedCalls()


def test_where_socket_and_pause_are_kept() -> None:
    copy = Path("/c/acme.agent")
    assert control_path(None, copy, None) == Path("/c/acme.agent.control")
    assert control_path(None, copy, "/run/a:/run/b") == Path("/run/a/control")
    assert control_path("/x", copy, "/run/a") == Path("/x")
    assert pause_path(copy, None) == Path("/c/acme.agent.paused")
    assert pause_path(copy, "/var/lib/a") == Path("/var/lib/a/paused")


@pytest.mark.skipif(not SUPPORTED, reason="this system has no Unix sockets")
def test_a_socket_whose_queue_is_full_is_no_dead_ones(tmp_path: Path) -> None:
    """Its Agent hangs, and has it still: a second one must not take it away."""
    path = tmp_path / "control"
    factory = Socket(tmp_path).factory
    with socket.socket(socket.AF_UNIX) as hangs, socket.socket(socket.AF_UNIX) as waits:
        hangs.bind(str(path))
        hangs.listen(0)
        waits.connect(str(path))
        service = Control(MemoryReactorClock(), path, factory, required=True)
        with pytest.raises(UsageError, match="another Agent has it"):
            service.startService()
        assert path.is_socket()
