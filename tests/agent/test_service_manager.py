"""Signs for systemd, on a real datagram socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from socksfusion.agent.service_manager import service_manager


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def signs(listener: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(listener.recv(4096).decode().split("\n")[0])
        except BlockingIOError:
            return found


def test_ready_alive_twice_in_its_time_and_stopping(systemd: socket.socket) -> None:
    clock = Clock()
    environment = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}
    manager = service_manager(clock, environment)
    assert manager is not None
    assert environment.keys() == {"WATCHDOG_PID"}, "what the Agent starts must not speak for it"
    manager.startService()
    assert signs(systemd) == ["READY=1"]
    clock.pump([29, 2, 29, 2])
    assert signs(systemd) == ["WATCHDOG=1", "WATCHDOG=1"]
    manager.stopService()
    assert signs(systemd) == ["STOPPING=1"]
    assert clock.getDelayedCalls() == []


def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0socksfusion-test-notify")
        manager = service_manager(Clock(), {"NOTIFY_SOCKET": "@socksfusion-test-notify"})
        assert manager is not None
        manager.startService()
        assert listener.recv(100).startswith(b"READY=1\n")
        manager.stopService()


def test_nobody_waits_for_signs() -> None:
    assert service_manager(Clock(), {}) is None
    assert service_manager(Clock(), {"NOTIFY_SOCKET": "vsock:2:1"}) is None


def test_a_socket_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    manager = service_manager(Clock(), {"NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_USEC": "junk"})
    assert manager is not None
    manager.startService()
    manager.stopService()
