"""Scans: once a scan, its idle end, a restarted Proxy, and clocks that step."""

from typing import Any

import pytest

from socksfusion import limits
from socksfusion.proxy.scans import Scans
from socksfusion.registry.schema import Scan, Snapshot
from socksfusion.wire.messages import ScanFinished, ScanStarted
from tests.proxy.gatehouse import Gatehouse, Visitor, digest
from tests.tunnel.stream_opening import open_stream


class Wall:
    """The wall clock, which steps where the test says so."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Scanned:
    def __init__(self, *running: Scan, wall: Wall | None = None) -> None:
        self.house = Gatehouse()
        self.house.book.register("acme", digest())
        self.wall = wall or Wall()
        snapshot = self.house.book.snapshot
        self.house.book.snapshot = Snapshot(snapshot.agents, snapshot.keys, {scan.id: scan for scan in running})
        self.scans = Scans(self.house.clock, self.house.book, self.house.connected, wall=self.wall)
        self.scans.startService()

    def pass_time(self, seconds: float) -> None:
        """The wall clock goes along."""
        for _ in range(int(seconds / 5)):
            self.wall.now += 5
            self.house.pass_time(5, step=5)

    def notes(self, kind: str) -> list[tuple[Any, ...]]:
        return [note[1:] for note in self.house.book.notes if note[0] == kind]


def told(visitor: Visitor, kind: type[ScanStarted] | type[ScanFinished]) -> list[str]:
    return [message.scan for message in visitor.received if isinstance(message, kind)]


def test_the_first_client_begins_it_and_the_others_do_not() -> None:
    scanned = Scanned()
    visitor = scanned.house.come()
    for _ in range(3):
        scanned.scans.touch("acme")
    scanned.house.pump()
    scan = scanned.scans.of("acme")
    assert scan is not None
    assert told(visitor, ScanStarted) == [scan.id]
    assert scanned.notes("scan started") == [(scan.id, "acme", 1_000_000.0)]
    assert scanned.scans.all() == [scan]


def test_a_reconnection_is_the_same_scan() -> None:
    scanned = Scanned()
    scanned.house.come()
    scanned.scans.touch("acme")
    back = scanned.house.come(program="first")
    scanned.house.pump()
    scan = scanned.scans.of("acme")
    assert scan is not None
    assert told(back, ScanStarted) == [scan.id]
    assert len(scanned.notes("scan started")) == 1


def test_it_ends_after_a_while_without_streams() -> None:
    scanned = Scanned()
    visitor = scanned.house.come()
    scanned.scans.touch("acme")
    scan = scanned.scans.of("acme")
    assert scan is not None
    scanned.pass_time(limits.SCAN_IDLE_SECONDS - 10)
    assert scanned.scans.of("acme") is scan
    scanned.pass_time(15)
    assert scanned.scans.of("acme") is None
    assert told(visitor, ScanFinished) == [scan.id]
    ((ended_id, ended_at),) = scanned.notes("scan ended")
    assert ended_id == scan.id
    assert ended_at == pytest.approx(1_000_000 + limits.SCAN_IDLE_SECONDS, abs=6)
    scanned.scans.touch("acme")
    again = scanned.scans.of("acme")
    assert again is not None
    assert again.id != scan.id


def test_an_open_stream_keeps_it() -> None:
    scanned = Scanned()
    visitor = scanned.house.come()
    scanned.scans.touch("acme")
    stream = open_stream(visitor.proxy_end.protocol)
    scanned.pass_time(3 * limits.SCAN_IDLE_SECONDS)
    assert scanned.scans.of("acme") is not None
    stream.transport.abortConnection()
    scanned.pass_time(limits.SCAN_IDLE_SECONDS + 10)
    assert scanned.scans.of("acme") is None


def test_it_outlives_a_lost_carrier_and_ends_without_one() -> None:
    scanned = Scanned()
    visitor = scanned.house.come()
    scanned.scans.touch("acme")
    visitor.carrier.abort("test")
    scanned.pass_time(limits.SCAN_IDLE_SECONDS - 10)
    assert scanned.scans.of("acme") is not None
    scanned.pass_time(15)
    assert scanned.scans.of("acme") is None
    assert told(scanned.house.come(), ScanStarted) == []


class TestRestart:
    """A scan stands in the registry."""

    def scan(self, last_active: float) -> Scan:
        return Scan("0123", "acme", 999_000.0, None, last_active)

    def test_it_goes_on(self) -> None:
        scanned = Scanned(self.scan(999_990.0))
        visitor = scanned.house.come()
        assert told(visitor, ScanStarted) == ["0123"]
        scanned.scans.touch("acme")
        assert scanned.notes("scan started") == []

    def test_its_idle_time_goes_on_too(self) -> None:
        scanned = Scanned(self.scan(1_000_000 - limits.SCAN_IDLE_SECONDS + 60))
        scanned.pass_time(50)
        assert scanned.scans.of("acme") is not None
        scanned.pass_time(20)
        assert scanned.scans.of("acme") is None

    def test_a_wall_clock_that_went_forward_meanwhile_does_not_end_it_unasked(self) -> None:
        scanned = Scanned(self.scan(1.0))
        assert scanned.scans.of("acme") is not None
        scanned.scans.touch("acme")
        scanned.pass_time(limits.SCAN_IDLE_SECONDS - 10)
        assert scanned.scans.of("acme") is not None

    def test_a_wall_clock_that_went_back_meanwhile_does_not_keep_it_for_ever(self) -> None:
        scanned = Scanned(self.scan(9_000_000.0))
        scanned.pass_time(limits.SCAN_IDLE_SECONDS + 10)
        assert scanned.scans.of("acme") is None


@pytest.mark.parametrize("hour", [-3600, 3600])
def test_a_step_of_the_wall_clock_ends_nothing_and_keeps_nothing(hour: int) -> None:
    """Row K1."""
    scanned = Scanned()
    scanned.house.come()
    scanned.scans.touch("acme")
    scanned.wall.now += hour
    scanned.pass_time(limits.SCAN_IDLE_SECONDS - 10)
    assert scanned.scans.of("acme") is not None
    scanned.pass_time(15)
    assert scanned.scans.of("acme") is None


def test_activity_is_written_with_its_own_time() -> None:
    scanned = Scanned()
    scanned.scans.touch("acme")
    scanned.pass_time(20)
    scan = scanned.scans.of("acme")
    assert scan is not None
    assert scanned.notes("scans touched")[-1] == ({scan.id: pytest.approx(1_000_000.0)},)


def test_stopped_it_looks_no_more() -> None:
    scanned = Scanned()
    scanned.scans.stopService()
    scanned.scans.touch("acme")
    scanned.pass_time(limits.SCAN_IDLE_SECONDS + 10)
    assert scanned.notes("scan ended") == []
