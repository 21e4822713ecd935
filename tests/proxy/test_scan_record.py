"""A scan's record: replies, streams, bytes, sources and what was left untested, with real streams of a pair."""

from typing import Any

import pytest

from socksfusion import limits
from socksfusion.proxy.access import Access
from socksfusion.proxy.scan_record import ScanRecord
from socksfusion.registry.schema import Scan, ScanNotes, Untested
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.socks5 import Reply
from tests.tunnel.pair import Pair

ACCESS = Access("192.0.2.9:1", agent="acme")
SCAN = Scan("0123", "acme", 1.0, None, 1.0)


class Recorded:
    """A record, with streams of a carrier."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.news: list[ScanRecord] = []
        self.record = ScanRecord(SCAN, lambda: 1_000.0, self.news.append)

    def open(self, host: str = "10.0.0.1", port: int = 80, source: str = "10.0.0.9", early: int = 0) -> tuple[Any, Any]:
        """An open that succeeded: the protocols of the stream's two ends."""
        here, there = self.pair.open()
        self.end(Reply.SUCCEEDED, "")
        self.record.stream_opened(host, port, here.transport, source, early)
        return here, there

    def end(self, reply: Reply, detail: str, host: str = "10.0.0.1", port: int = 80) -> None:
        self.record.result(ACCESS, host, port, reply, detail)

    def notes(self) -> ScanNotes:
        notes, _ = self.record.take()
        return notes if notes is not None else ScanNotes()

    def untested(self) -> list[Untested]:
        return self.record.take()[1]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_replies_are_counted_and_taken_once(recorded: Recorded) -> None:
    for reply in (Reply.REFUSED, Reply.REFUSED, Reply.TTL_EXPIRED):
        recorded.end(reply, "")
    assert recorded.notes() == ScanNotes(results={5: 2, 6: 1})
    assert recorded.record.take() == (None, [])


def test_only_0x01_leaves_a_target_untested(recorded: Recorded) -> None:
    for reply in Reply:
        recorded.end(reply, f"why {reply.value}", port=reply.value)
    assert recorded.untested() == [Untested("0123", 1_000.0, "10.0.0.1", 1, "not tested", "why 1")]


def test_an_open_whose_client_did_not_wait_has_no_reply_and_is_untested(recorded: Recorded) -> None:
    recorded.record.not_tested("10.0.0.1", 80, "its client gave up")
    notes, untested = recorded.record.take()
    assert notes is None
    assert untested == [Untested("0123", 1_000.0, "10.0.0.1", 80, "not tested", "its client gave up")]


def test_bytes_are_the_targets_and_the_clients_own(recorded: Recorded) -> None:
    """Not those of request and reply, which the same stream has carried."""
    here, there = recorded.pair.open()
    here.transport.write(b"request")
    there.transport.write(b"reply" + b"banner")
    recorded.pair.pump()
    recorded.record.stream_opened("10.0.0.1", 80, here.transport, "", early=len(b"banner"))
    here.transport.write(b"x" * 1_000)
    there.transport.write(b"y" * 3_000)
    recorded.pair.pump()
    assert recorded.notes() == ScanNotes(streams=1, bytes_to_target=1_000, bytes_to_client=3_000 + len(b"banner"))


def test_a_long_stream_is_counted_as_it_goes_on_and_at_its_end(recorded: Recorded) -> None:
    here, there = recorded.open()
    recorded.notes()
    for size in (10, 20):
        here.transport.write(b"x" * size)
        recorded.pair.pump()
        assert recorded.notes() == ScanNotes(bytes_to_target=size)
    here.transport.write(b"x" * 5)
    here.transport.loseConnection()
    there.transport.loseConnection()
    recorded.pair.pump()
    assert recorded.record.open_streams == 0
    assert recorded.notes() == ScanNotes(bytes_to_target=5)


def test_there_is_news_of_replies_opens_and_ends(recorded: Recorded) -> None:
    here, _ = recorded.open()
    recorded.news.clear()
    recorded.end(Reply.REFUSED, "")
    assert recorded.news == [recorded.record]
    here.transport.abortConnection()
    recorded.pair.pump()
    assert recorded.news == [recorded.record] * 2


def test_what_the_carriers_loss_cuts_is_untested(recorded: Recorded) -> None:
    recorded.open("db.example", 5432)
    recorded.pair.proxy.abort("cable out")
    recorded.pair.pump()
    assert recorded.untested() == [Untested("0123", 1_000.0, "db.example", 5432, "cut", "cable out")]
    assert recorded.record.open_streams == 0


def test_an_associations_bytes_count_and_its_end_is_no_targets_cut(recorded: Recorded) -> None:
    here, there = recorded.pair.open()
    recorded.record.associated(here.transport)
    assert recorded.news == [recorded.record]
    here.transport.write(b"12345")
    there.transport.write(b"123")
    recorded.pair.pump()
    assert recorded.record.open_streams == 1
    assert recorded.notes() == ScanNotes(bytes_to_target=5, bytes_to_client=3), "it is no open that was answered"
    recorded.pair.proxy.abort("cable out")
    recorded.pair.pump()
    assert recorded.untested() == []
    assert recorded.record.open_streams == 0


def test_an_association_ends_with_the_scans_streams(recorded: Recorded) -> None:
    here, _ = recorded.pair.open()
    recorded.record.associated(here.transport)
    recorded.record.abort_streams()
    recorded.pair.pump()
    assert here.lost is not None


def test_other_ends_are_no_cuts(recorded: Recorded) -> None:
    """A Target's reset, a Client's, the clean end, and our own word."""
    pairs = [recorded.open() for _ in range(4)]
    pairs[0][1].transport.abortConnection()
    pairs[1][0].transport.reset_after_data()
    for end in pairs[2]:
        end.transport.loseConnection()
    recorded.pair.pump()
    recorded.record.abort_streams()
    recorded.pair.pump()
    assert recorded.record.open_streams == 0
    assert recorded.untested() == []
    assert pairs[3][0].lost is not None


def test_a_stream_that_is_lost_before_it_is_told_of_is_counted_all_the_same(recorded: Recorded) -> None:
    here, _ = recorded.pair.open()
    recorded.pair.proxy.abort("gone")
    recorded.pair.pump()
    stream: StreamTransport = here.transport
    recorded.record.stream_opened("10.0.0.1", 80, stream, "")
    assert recorded.record.open_streams == 0
    assert [one.what for one in recorded.untested()] == ["cut"]


def test_sources_are_told_once_and_only_where_they_are_addresses(recorded: Recorded) -> None:
    for source in ("10.0.0.9", "10.0.0.9", "fd00:0::9", "", "evil\nname"):
        recorded.open(source=source)
    assert recorded.notes().sources == {"10.0.0.9", "fd00::9"}
    recorded.open(source="10.0.0.9")
    assert recorded.notes().sources == frozenset()


def test_an_agent_that_names_ever_more_sources_fills_no_memory(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SOURCES_PER_SCAN", 3)
    for number in range(10):
        recorded.open(source=f"10.0.0.{number}")
    assert len(recorded.notes().sources) == 3


def test_untested_targets_fill_no_memory_either_and_their_replies_are_counted(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNTESTED_PER_SCAN", 3)
    for port in range(10):
        recorded.end(Reply.GENERAL_FAILURE, "away", port=port)
    notes, untested = recorded.record.take()
    assert notes == ScanNotes(results={1: 10})
    assert [one.port for one in untested] == [0, 1, 2]
