"""What is read of many Agents' lines when they come back, and one small run of it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench import stampede
from bench.agents_side import ManyAgentsSide
from bench.generator import Generator


def line(second: float, message: str = "Connecting to server...") -> str:
    return f"{datetime.fromtimestamp(1_000_000 + second, UTC).isoformat(timespec='milliseconds')} {message}\n"


def test_dials_are_read_from_the_loss_on() -> None:
    log = line(-1) + "All agents start\n" + line(0.25) + line(0.5, "Connection established") + line(3) + line(1.5)
    assert stampede.dials(log, 1_000_000) == pytest.approx([0.25, 1.5, 3])


def test_the_busiest_span() -> None:
    assert stampede.busiest([0.01, 0.02, 0.15, 0.21, 0.22, 0.29], 0.1) == 3
    assert stampede.busiest([], 0.1) == 0


def test_the_report_has_a_row_a_second() -> None:
    told = stampede.report([0.2, 0.3, 2.5], 3, 10, 4.25).splitlines()
    assert [row.split() for row in told[2:5]] == [["0", "2"], ["1", "0"], ["2", "1"]]
    assert told[-1] == "all served again 4.2 s after the Proxy was back"


def test_all_agents_come_back(tmp_path: Path) -> None:
    """With real sockets: a Proxy that is killed and started again serves all of them."""
    side = ManyAgentsSide(tmp_path, Generator(tmp_path / "unused"), agents=12)
    try:
        side.start()
        side.proxy.kill()
        side.wait_for_all(side.start_proxy("again.log"))
    finally:
        side.stop()
