"""The admin's switch by a clock of the test's: what is cut, told and kept."""

import json
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.agent.switch import Switch
from socksfusion.wire.control_messages import Paused, Resumed, StopScan
from socksfusion.wire.messages import Message

NOW = 1_700_000_000.0


class Admin:
    """A switch, and what it has told and cut."""

    def __init__(self, file: Path, now: float = NOW) -> None:
        self.clock = Clock()
        self.wall = now
        self.told: list[Message] = []
        self.cut = 0
        self.switch = Switch(self.clock, file, wall_clock=lambda: self.wall)
        self.switch.tell = self.told.append
        self.switch.cut = self._cut
        self.switch.startService()

    def _cut(self) -> int:
        self.cut += 1
        return 3

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.clock.pump([limits.PAUSE_LOOK_SECONDS] * (int(seconds) + 1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "paused"


def test_a_pause_cuts_tells_and_is_kept(file: Path) -> None:
    admin = Admin(file)
    assert not admin.switch.paused
    assert admin.switch.pause(None) == ""
    assert (admin.switch.paused, admin.cut, admin.told) == (True, 1, [Paused(until=0.0)])
    assert json.loads(file.read_text()) == {"paused": True, "until": None}
    assert file.stat().st_mode & 0o777 == 0o600
    assert Admin(file).switch.paused
    assert admin.switch.resume() == ""
    assert (admin.switch.paused, admin.told[1:]) == (False, [Resumed()])
    assert not file.exists()
    assert not admin.clock.getDelayedCalls()


def test_a_pause_for_a_time_ends_by_itself_by_the_wall_clock(file: Path) -> None:
    admin = Admin(file)
    admin.switch.pause(60)
    assert admin.told == [Paused(until=NOW + 60)]
    admin.pass_time(59)
    assert admin.switch.paused
    admin.pass_time(1)
    assert (admin.switch.paused, admin.told[1:]) == (False, [Resumed()])
    assert not file.exists()


def test_after_a_restart_the_rest_of_the_time_counts(file: Path) -> None:
    Admin(file).switch.pause(60)
    later = Admin(file, NOW + 50)
    assert later.switch.paused
    later.pass_time(10)
    assert not later.switch.paused
    Admin(file).switch.pause(60)
    assert not Admin(file, NOW + 61).switch.paused


def test_another_pause_replaces_the_first(file: Path) -> None:
    admin = Admin(file)
    admin.switch.pause(60)
    admin.switch.pause(None)
    admin.pass_time(120)
    assert admin.switch.paused
    assert not admin.clock.getDelayedCalls()


def test_the_proxy_is_told_of_a_pause_whenever_it_takes_the_agent_in(file: Path) -> None:
    admin = Admin(file)
    admin.switch.welcomed()
    assert admin.told == []
    admin.switch.pause(60)
    admin.told.clear()
    admin.switch.welcomed()
    assert admin.told == [Paused(until=NOW + 60)]


def test_stop_scan_cuts_and_tells_and_pauses_nothing(file: Path) -> None:
    admin = Admin(file)
    assert admin.switch.stop_scan() == 3
    assert (admin.told, admin.switch.paused) == ([StopScan()], False)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"[]", b"{}", b"\xff", b"[" * 5000),
        *(b'{"paused": 1, "until": null}', b'{"paused": true, "until": "x"}', b'{"paused": true, "until": 1e999}'),
        *(b'{"paused": true, "until": 1e20}', b'{"paused": true, "until": 1%s}' % (b"0" * 400)),
    ],
)
def test_a_file_that_cannot_be_read_is_a_pause(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    file.chmod(0o600)
    assert Admin(file).switch.paused


def test_a_file_that_others_can_write_is_a_pause(file: Path) -> None:
    file.write_bytes(b'{"paused": false, "until": null}')
    file.chmod(0o666)
    assert Admin(file).switch.paused


def test_where_nothing_can_be_kept_a_pause_counts_and_the_admin_is_told(tmp_path: Path) -> None:
    admin = Admin(tmp_path / "missing" / "paused")
    assert "does not outlast a restart" in admin.switch.pause(None)
    assert admin.switch.paused
    assert admin.cut == 1


def test_the_end_of_the_program_leaves_the_pause(file: Path) -> None:
    admin = Admin(file)
    admin.switch.pause(60)
    admin.switch.stopService()
    assert not admin.clock.getDelayedCalls()
    assert file.exists()
