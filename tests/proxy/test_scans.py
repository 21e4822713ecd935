"""Scans: who begins and ends them, what the Agent is told, gaps, a restarted Proxy, and clocks that step."""

from dataclasses import replace
from typing import Any

import pytest

from socksfusion import limits
from socksfusion.proxy.access import Access, Grant
from socksfusion.proxy.scan_record import ScanRecord
from socksfusion.proxy.scans import Scans
from socksfusion.registry.schema import Scan, ScanNotes
from socksfusion.wire.control_messages import ScanFinished, ScanStarted
from socksfusion.wire.socks5 import Reply
from tests.proxy.gatehouse import Gatehouse, Visitor, digest
from tests.tunnel.stream_opening import open_stream

BEGUN = 1_000_000.0


class Wall:
    """The wall clock, which steps where the test says so."""

    now = BEGUN

    def __call__(self) -> float:
        return self.now


class Scanned:
    """Scans over a gate with real carriers; the registry is the gatehouse's book."""

    def __init__(self, *running: Scan) -> None:
        self.house = Gatehouse()
        self.book = self.house.book
        self.book.register("acme", digest())
        self.wall = Wall()
        self.house.gate._wall = self.wall
        self.book.snapshot = replace(self.book.snapshot, scans={scan.id: scan for scan in running})
        self.scans = Scans(self.house.clock, self.book, self.house.connected, wall=self.wall)
        self.book.changed = self._registry_changed
        self.scans.startService()

    def _registry_changed(self) -> None:
        self.house.gate.look()
        self.scans.registry_changed(self.book.snapshot)

    def pass_time(self, seconds: float) -> None:
        """The wall clock goes along."""
        for _ in range(int(seconds / 5)):
            self.wall.now += 5
            self.house.pass_time(5, step=1)
            self.write()

    def write(self) -> None:
        """It is time for a batch."""
        for note in self.book.before_writing:
            note()

    def notes(self, kind: str) -> list[tuple[Any, ...]]:
        return [note[1:] for note in self.book.notes if note[0] == kind]

    def begin(self, scan: str | None = None, client: str | None = None) -> ScanRecord:
        """A Client opens something."""
        return self.scans.begin(Grant("acme", client, scan, (), 10.0, 20.0))

    def in_registry(self, *scans: Scan) -> None:
        """These run, as another process has written it."""
        self.book.publish(replace(self.book.snapshot, scans={scan.id: scan for scan in scans}))


def explicit(scan_id: str = "e1", *, until: float | None = None, started: float = BEGUN) -> Scan:
    return Scan(scan_id, "acme", started, None, started, kind="explicit", by="ops", port=1085, until=until)


def told(visitor: Visitor, kind: type[ScanStarted] | type[ScanFinished]) -> list[str]:
    return [message.scan for message in visitor.received if isinstance(message, kind)]


class TestImplicit:
    """Begun by a first Client, ended by idleness."""

    def test_the_first_client_begins_it_and_the_others_do_not(self) -> None:
        scanned = Scanned()
        visitor = scanned.house.come()
        records = {scanned.begin() for _ in range(3)}
        scanned.house.pump()
        scan = scanned.scans.of("acme")
        assert scan is not None
        assert [record.scan for record in records] == [scan]
        assert told(visitor, ScanStarted) == [scan.id]
        assert scanned.notes("scan started") == [(scan.id, "acme", BEGUN)]
        assert scanned.scans.all() == [scan]

    def test_it_says_which_account_began_it(self) -> None:
        assert Scanned().begin(client="team").scan.by == "team"

    def test_a_reconnection_is_the_same_scan(self) -> None:
        scanned = Scanned()
        scanned.house.come()
        scan = scanned.begin().scan
        back = scanned.house.come(program="first")
        scanned.house.pump()
        assert told(back, ScanStarted) == [scan.id]
        assert len(scanned.notes("scan started")) == 1

    def test_it_ends_after_a_while_without_streams(self) -> None:
        scanned = Scanned()
        visitor = scanned.house.come()
        scan = scanned.begin().scan
        scanned.pass_time(limits.SCAN_IDLE_SECONDS - 10)
        assert scanned.scans.of("acme") is scan
        scanned.pass_time(15)
        assert scanned.scans.of("acme") is None
        assert told(visitor, ScanFinished) == [scan.id]
        assert scanned.notes("scan ended") == [
            (scan.id, pytest.approx(BEGUN + limits.SCAN_IDLE_SECONDS, abs=6), "idle")
        ]
        assert scanned.begin().scan.id != scan.id

    def test_an_open_stream_keeps_it(self) -> None:
        """One that no record knows too: a dial that is under way."""
        scanned = Scanned()
        visitor = scanned.house.come()
        scanned.begin()
        stream = open_stream(visitor.proxy_end.protocol)
        scanned.pass_time(3 * limits.SCAN_IDLE_SECONDS)
        assert scanned.scans.of("acme") is not None
        stream.transport.abortConnection()
        scanned.pass_time(limits.SCAN_IDLE_SECONDS + 10)
        assert scanned.scans.of("acme") is None

    def test_an_explicit_scans_stream_does_not_keep_it(self) -> None:
        scanned = Scanned(explicit())
        visitor = scanned.house.come()
        scanned.begin()
        stream = open_stream(visitor.proxy_end.protocol)
        scanned.begin("e1").stream_opened("10.0.0.1", 80, stream.transport, "")
        scanned.pass_time(limits.SCAN_IDLE_SECONDS + 10)
        assert [scan.id for scan in scanned.scans.all()] == ["e1"]

    def test_it_outlives_a_lost_carrier_and_ends_without_one(self) -> None:
        scanned = Scanned()
        visitor = scanned.house.come()
        scanned.begin()
        visitor.carrier.abort("test")
        scanned.pass_time(limits.SCAN_IDLE_SECONDS - 10)
        assert scanned.scans.of("acme") is not None
        scanned.pass_time(15)
        assert scanned.scans.of("acme") is None
        assert told(scanned.house.come(), ScanStarted) == []

    def test_it_can_be_stopped_by_command(self) -> None:
        scanned = Scanned()
        visitor = scanned.house.come()
        scan = scanned.begin().scan
        scanned.in_registry(scan)
        scanned.in_registry()
        scanned.house.pump()
        assert scanned.scans.all() == []
        assert told(visitor, ScanFinished) == [scan.id]
        assert scanned.notes("scan ended") == []  # it is written already

    def test_a_snapshot_that_does_not_know_it_yet_does_not_end_it(self) -> None:
        scanned = Scanned()
        scan = scanned.begin().scan
        scanned.in_registry()
        assert scanned.scans.all() == [scan]

    def test_that_of_a_revoked_agent_goes_on(self) -> None:
        """So that its Clients on the shared port reach no other agent (see Accounts)."""
        scanned = Scanned()
        scanned.house.come()
        scan = scanned.begin().scan
        scanned.book.revoke("acme")
        assert scanned.scans.all() == [scan]

    def test_ended_it_is_not_taken_up_again_from_what_the_registry_still_shows(self) -> None:
        scanned = Scanned()
        scan = scanned.begin().scan
        scanned.scans.stop_of("acme", "admin")
        # its begin may be written after the end was told
        for shown in ([], [scan], [scan], []):
            scanned.in_registry(*shown)
            assert scanned.scans.all() == []
        # a backup that was put back
        scanned.in_registry(scan)
        assert scanned.scans.all() == [scan]


class TestExplicit:
    """Started by command, by another process; ended by command, by time or by revocation."""

    def test_it_is_taken_up_from_the_registry_and_the_agent_is_told(self) -> None:
        scanned = Scanned()
        visitor = scanned.house.come()
        heard: list[int] = []
        scanned.scans.ports_changed.append(lambda: heard.append(len(scanned.scans.all())))
        scanned.in_registry(explicit())
        scanned.house.pump()
        assert scanned.scans.all() == [explicit()]
        assert scanned.scans.of("acme") is None
        assert told(visitor, ScanStarted) == ["e1"]
        assert scanned.notes("scan started") == []
        scanned.in_registry()
        scanned.house.pump()
        assert told(visitor, ScanFinished) == ["e1"]
        assert heard == [1, 0]

    def test_an_implicit_one_changes_no_port(self) -> None:
        """Thousands of them may begin at once, and a look at the ports costs as much as there are agents."""
        scanned = Scanned()
        heard: list[None] = []
        scanned.scans.ports_changed.append(lambda: heard.append(None))
        scanned.begin()
        scanned.scans.stop_of("acme", "admin")
        assert (heard, scanned.scans.all()) == ([], [])

    def test_several_and_the_implicit_one_run_side_by_side(self) -> None:
        scanned = Scanned()
        visitor = scanned.house.come()
        scanned.in_registry(explicit("e1"), explicit("e2"))
        records = [scanned.begin("e1"), scanned.begin("e2"), scanned.begin()]
        scanned.house.pump()
        assert len({record.scan.id for record in records}) == 3
        assert told(visitor, ScanStarted) == [record.scan.id for record in records]
        assert len(scanned.scans.all()) == 3
        back = scanned.house.come(program="first")
        scanned.house.pump()
        assert sorted(told(back, ScanStarted)) == sorted(record.scan.id for record in records)

    def test_idleness_does_not_end_it(self) -> None:
        scanned = Scanned(explicit())
        scanned.pass_time(3 * limits.SCAN_IDLE_SECONDS)
        assert scanned.scans.all() == [explicit()]

    def test_its_time_is_over(self) -> None:
        scanned = Scanned(explicit(until=BEGUN + 60))
        visitor = scanned.house.come()
        scanned.pass_time(55)
        assert len(scanned.scans.all()) == 1
        scanned.pass_time(10)
        assert scanned.scans.all() == []
        assert scanned.notes("scan ended") == [("e1", pytest.approx(BEGUN + 60, abs=5), "over")]
        assert told(visitor, ScanFinished) == ["e1"]

    @pytest.mark.parametrize("since", [0, 1])
    def test_one_whose_time_was_over_while_no_proxy_ran_is_not_begun(self, since: float) -> None:
        scanned = Scanned(explicit(until=BEGUN - since, started=BEGUN - 100))
        assert scanned.scans.all() == []
        assert [note[0] for note in scanned.notes("scan ended")] == ["e1"]

    def test_a_longer_time_counts(self) -> None:
        scanned = Scanned(explicit(until=BEGUN + 60))
        scanned.in_registry(explicit(until=BEGUN + 600))
        scanned.pass_time(120)
        assert len(scanned.scans.all()) == 1

    def test_its_agent_is_revoked(self) -> None:
        scanned = Scanned(explicit())
        scanned.house.come()
        scanned.book.revoke("acme")
        assert scanned.scans.all() == []
        assert [note[2] for note in scanned.notes("scan ended")] == ["revoked"]

    def test_its_agents_time_is_over(self) -> None:
        scanned = Scanned(explicit())
        agents = {"acme": replace(scanned.book.snapshot.agents["acme"], expires=BEGUN + 10)}
        scanned.book.publish(replace(scanned.book.snapshot, agents=agents))
        assert len(scanned.scans.all()) == 1
        scanned.pass_time(15)
        assert scanned.scans.all() == []
        assert [note[2] for note in scanned.notes("scan ended")] == ["revoked"]

    def test_the_admin_of_its_agent_stops_it_and_its_streams(self) -> None:
        scanned = Scanned(explicit())
        visitor = scanned.house.come()
        scanned.begin()
        stream = open_stream(visitor.proxy_end.protocol)
        scanned.begin("e1").stream_opened("10.0.0.1", 80, stream.transport, "")
        scanned.scans.stop_of("acme", "admin")
        scanned.house.pump()
        assert scanned.scans.all() == []
        assert [note[2] for note in scanned.notes("scan ended")] == ["admin", "admin"]
        assert not stream.transport.connected
        assert len(told(visitor, ScanFinished)) == 2
        assert scanned.notes("untested") == []

    def test_find_begins_nothing(self) -> None:
        scanned = Scanned(explicit())
        implicit = Grant("acme", None, None, (), 10.0, 20.0)
        assert scanned.scans.find(implicit) is None
        assert scanned.scans.find(implicit._replace(scan="e1")) is scanned.begin("e1")
        assert scanned.scans.find(implicit._replace(scan="e2")) is None
        assert scanned.scans.all() == [explicit()]

    def test_what_comes_in_the_moment_of_its_end_begins_nothing(self) -> None:
        scanned = Scanned()
        record = scanned.begin("e1")
        record.result(Access("192.0.2.1:1"), "10.0.0.1", 80, Reply.REFUSED, "")
        scanned.pass_time(5)
        assert scanned.scans.all() == []
        assert scanned.notes("scan noted") == []


class TestWhatIsFound:
    """It goes into the book in batches."""

    def test_one_note_a_batch_and_none_where_nothing_happened(self) -> None:
        scanned = Scanned(explicit())
        record = scanned.begin("e1")
        for _ in range(100):
            record.result(Access("192.0.2.1:1"), "10.0.0.1", 80, Reply.REFUSED, "")
        record.result(Access("192.0.2.1:1"), "10.0.0.1", 81, Reply.GENERAL_FAILURE, "away")
        assert scanned.notes("scan noted") == []
        scanned.write()
        scanned.write()
        assert scanned.notes("scan noted") == [("e1", ScanNotes(results={5: 100, 1: 1}))]
        ((targets,),) = scanned.notes("untested")
        assert [(one.scan, one.port, one.why) for one in targets] == [("e1", 81, "away")]

    def test_streams_that_outlive_their_scan_are_counted_to_their_end(self) -> None:
        scanned = Scanned(explicit())
        visitor = scanned.house.come()
        stream = open_stream(visitor.proxy_end.protocol)
        scanned.begin("e1").stream_opened("10.0.0.1", 80, stream.transport, "")
        scanned.in_registry()
        stream.transport.write(b"x" * 10)
        scanned.pass_time(5)
        stream.transport.write(b"x" * 5)
        stream.transport.abortConnection()
        scanned.pass_time(5)
        assert sum(notes.bytes_to_target for _, notes in scanned.notes("scan noted")) == 15

    def test_stopped_it_ends_no_scan_and_is_still_asked_for_what_was_found(self) -> None:
        scanned = Scanned(explicit())
        scanned.scans.stopService()
        scanned.begin("e1").result(Access("192.0.2.1:1"), "10.0.0.1", 80, Reply.REFUSED, "")
        scanned.write()
        assert scanned.notes("scan noted") == [("e1", ScanNotes(results={5: 1}))]
        scanned.pass_time(limits.SCAN_IDLE_SECONDS + 10)
        assert scanned.notes("scan ended") == []

    def test_activity_is_written_with_its_own_time_and_not_each_second(self) -> None:
        scanned = Scanned()
        scan = scanned.begin().scan
        scanned.pass_time(20)
        assert scanned.notes("scans touched") == [({scan.id: pytest.approx(BEGUN, abs=5)},)]
        scanned.begin()
        scanned.pass_time(20)
        assert scanned.notes("scans touched")[1:] == [({scan.id: pytest.approx(BEGUN + 20, abs=5)},)]


class TestGaps:
    """Spans without a carrier."""

    def test_from_the_loss_to_the_return(self) -> None:
        scanned = Scanned()
        visitor = scanned.house.come()
        scanned.in_registry(explicit())
        implicit = scanned.begin().scan.id
        visitor.carrier.abort("cable out")
        scanned.house.pump()
        lost = scanned.wall.now
        assert sorted(scanned.notes("gap began")) == sorted([("e1", lost), (implicit, lost)])
        scanned.pass_time(10)
        scanned.house.come()
        assert sorted(scanned.notes("gap ended")) == sorted([("e1", lost + 10), (implicit, lost + 10)])

    def test_a_scan_that_begins_without_its_agent_begins_in_a_gap(self) -> None:
        scanned = Scanned()
        scanned.pass_time(5)
        scanned.in_registry(explicit(started=BEGUN + 4))
        assert scanned.notes("gap began") == [("e1", BEGUN + 4)]
        scanned.house.come()
        assert scanned.notes("gap ended") == [("e1", BEGUN + 5)]

    def test_a_scan_that_ends_in_a_gap_ends_the_gap(self) -> None:
        scanned = Scanned(explicit(until=BEGUN + 5))
        scanned.pass_time(10)
        assert [note[0] for note in scanned.notes("gap ended")] == ["e1"]

    def test_no_scan_no_gap(self) -> None:
        scanned = Scanned()
        scanned.house.come().carrier.abort("cable out")
        scanned.house.pump()
        assert scanned.notes("gap began") == []

    @pytest.mark.parametrize(
        ("active", "seen", "began"),
        [
            (BEGUN - 100, BEGUN - 300, BEGUN - 100),
            (BEGUN - 300, BEGUN - 100, BEGUN - 100),
            (BEGUN - 900, None, BEGUN - 500),
            (BEGUN + 900, None, BEGUN),
        ],
        ids=["streams last", "agent last", "neither since its start", "a clock that went back"],
    )
    def test_the_time_without_a_proxy_is_one(self, active: float, seen: float | None, began: float) -> None:
        """A Proxy that was killed has not said when; the registry keeps the begin of a gap that it knows already."""
        scanned = Scanned()
        agents = {"acme": replace(scanned.book.snapshot.agents["acme"], last_seen=seen)}
        scan = replace(explicit(started=BEGUN - 500), last_active=active)
        scanned.book.publish(replace(scanned.book.snapshot, agents=agents, scans={"e1": scan}))
        assert scanned.notes("gap began") == [("e1", began)]
        scanned.pass_time(5)
        scanned.house.come()
        assert scanned.notes("gap ended") == [("e1", BEGUN + 5)]


class TestRestart:
    """A scan stands in the registry."""

    def scan(self, last_active: float) -> Scan:
        return Scan("0123", "acme", 999_000.0, None, last_active)

    def test_it_goes_on(self) -> None:
        scanned = Scanned(self.scan(999_990.0))
        visitor = scanned.house.come()
        assert told(visitor, ScanStarted) == ["0123"]
        scanned.begin()
        assert scanned.notes("scan started") == []

    def test_its_idle_time_goes_on_too(self) -> None:
        scanned = Scanned(self.scan(BEGUN - limits.SCAN_IDLE_SECONDS + 60))
        scanned.pass_time(50)
        assert scanned.scans.of("acme") is not None
        scanned.pass_time(20)
        assert scanned.scans.of("acme") is None

    def test_a_wall_clock_that_went_forward_meanwhile_does_not_keep_it(self) -> None:
        scanned = Scanned(self.scan(1.0))
        scanned.pass_time(5)
        assert scanned.scans.of("acme") is None

    def test_a_wall_clock_that_went_back_meanwhile_does_not_keep_it_for_ever(self) -> None:
        scanned = Scanned(self.scan(9_000_000.0))
        scanned.pass_time(limits.SCAN_IDLE_SECONDS + 10)
        assert scanned.scans.of("acme") is None


@pytest.mark.parametrize("hour", [-3600, 3600])
def test_a_step_of_the_wall_clock_ends_nothing_and_keeps_nothing(hour: int) -> None:
    """Row K1."""
    scanned = Scanned()
    scanned.house.come()
    scanned.begin()
    scanned.wall.now += hour
    scanned.pass_time(limits.SCAN_IDLE_SECONDS - 10)
    assert scanned.scans.of("acme") is not None
    scanned.pass_time(15)
    assert scanned.scans.of("acme") is None


class TestOver:
    """A scan that has ended here is not taken up again from a snapshot that is older; its id is not kept for ever."""

    def begin_and_end(self, scanned: Scanned) -> Scan:
        scanned.house.come()
        scan = scanned.begin().scan
        scanned.scans.stop_of("acme", "admin")
        return scan

    def test_an_older_snapshot_does_not_begin_it_again(self) -> None:
        scanned = Scanned()
        scan = self.begin_and_end(scanned)
        scanned.in_registry()
        scanned.in_registry(scan)
        assert scanned.scans.all() == []

    def test_one_that_no_snapshot_has_shown_is_forgotten_once_its_end_is_written(self) -> None:
        scanned = Scanned()
        scan = self.begin_and_end(scanned)
        scanned.book.all_changes_written = True
        scanned.in_registry()
        assert scan.id not in scanned.scans._over
