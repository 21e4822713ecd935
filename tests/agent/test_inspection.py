"""The Agent's manhole: what its tables tell."""

import pytest

from socksfusion.agent.inspection import Inspection
from tests.agent.fake_proxy import World


@pytest.fixture
def world() -> World:
    made = World()
    made.connector.startService()
    return made


def test_before_it_is_connected(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    inspection = Inspection(world.connector)
    inspection.agents()
    inspection.streams()
    shown = capsys.readouterr().out
    assert "away" in shown
    assert "(none)" in shown


def test_while_it_serves(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    side = world.serve()
    client = side.open()
    client.transport.write(b"12345")
    world.pump()
    inspection = Inspection(world.connector)
    inspection.agents()
    _, _, row = capsys.readouterr().out.splitlines()
    assert row.split()[2:4] == ["serving", "proxy/1"]
    assert row.endswith(" ms")
    inspection.streams()
    _, _, stream = capsys.readouterr().out.splitlines()
    assert stream.split() == ["3", "0", "5", "0", "0"]
