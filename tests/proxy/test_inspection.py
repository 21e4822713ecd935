"""The Proxy's manhole: what its tables tell."""

from dataclasses import replace

import pytest

from socksfusion.proxy.access import Grant
from socksfusion.proxy.inspection import Inspection
from socksfusion.proxy.scans import Scans
from tests.proxy.gatehouse import Gatehouse, digest
from tests.tunnel.stream_opening import open_stream


class Inspected:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.house = Gatehouse()
        self.house.book.register("acme", digest())
        self.house.book.register("other", digest(1))
        self.scans = Scans(self.house.clock, self.house.book, self.house.connected)
        self._inspection = Inspection(
            self.house.clock.seconds, lambda: self.house.book.snapshot, self.house.connected, self.scans
        )
        self._capsys = capsys

    def agents(self) -> list[dict[str, str]]:
        self._inspection.agents()
        return table(self._capsys.readouterr().out)

    def streams(self) -> list[dict[str, str]]:
        self._inspection.streams()
        return table(self._capsys.readouterr().out)


def table(text: str) -> list[dict[str, str]]:
    """The rows of a table, by their headers: cells stand below the dashes of their column."""
    headers, dashes, *rows = text.splitlines()
    starts = [place for place, dash in enumerate(dashes) if dash == "-" and (place == 0 or dashes[place - 1] == " ")]
    spans = list(zip(starts, [*starts[1:], len(text)], strict=True))
    cells = [[line[start:end].strip() for start, end in spans] for line in [headers, *rows]]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


@pytest.fixture
def inspected(capsys: pytest.CaptureFixture[str]) -> Inspected:
    return Inspected(capsys)


def test_agents(inspected: Inspected) -> None:
    inspected.house.come()
    inspected.scans.begin(Grant("acme", None, None, (), 10, 20))
    inspected.house.pass_time(3)
    inspected.house.book.revoke("other")
    acme, other = inspected.agents()
    scan = inspected.scans.of("acme")
    assert scan is not None
    assert acme["round trip"].endswith(" ms")
    assert acme == {
        "agent": "acme",
        "state": "serving",
        "from": "198.51.100.7:40000",
        "program": "test/1",
        "since": "3 s",
        "streams": "0",
        "round trip": acme["round trip"],
        "port": "",
        "scan": scan.id,
    }
    assert {name: cell for name, cell in other.items() if cell} == {"agent": "other", "state": "revoked"}


def test_what_its_admin_did(inspected: Inspected) -> None:
    inspected.house.come()
    snapshot = inspected.house.book.snapshot
    agents = {
        "acme": replace(snapshot.agents["acme"], paused=True),
        "other": replace(snapshot.agents["other"], uninstalled=True),
    }
    inspected.house.book.publish(replace(snapshot, agents=agents))
    assert [row["state"] for row in inspected.agents()] == ["paused", "uninstalled"]


def test_streams_are_the_clients_alone(inspected: Inspected) -> None:
    visitor = inspected.house.come()
    assert inspected.streams() == [dict.fromkeys(["agent", "stream", *COUNTED, "reader"], "") | {"agent": "(none)"}]
    stream = open_stream(visitor.proxy_end.protocol)
    stream.transport.write(b"12345")
    inspected.house.pump()
    stream.transport.pauseProducing()
    visitor.streams[0].transport.write(b"123")
    inspected.house.pump()
    (row,) = inspected.streams()
    assert row == {
        "agent": "acme",
        "stream": "3",
        "sent": "5",
        "received": "3",
        "queued": "0",
        "unread": "3",
        "reader": "paused",
    }


COUNTED = ("sent", "received", "queued", "unread")
