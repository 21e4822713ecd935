"""agent.status: what the Agent does now, in a word, in rates and in a line."""

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.agent.policy import Agreed, Policy
from socksfusion.agent.status import Status

NOW = 1_700_000_000.0


class Agent:
    """What a Status looks at, played by the test."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.carrier = SimpleNamespace(bytes_received=0, bytes_sent=0)
        self.connector = SimpleNamespace(
            call=None, scans=(), last_error="", proxy="proxy.example:443", copy=SimpleNamespace(agent="acme")
        )
        self.switch = SimpleNamespace(paused=False, until=None)
        self.policy = Policy(agreed=Agreed())
        parts: Any = self.clock, self.connector, self.switch, (), self.policy
        self.status = Status(*parts, wall_clock=lambda: NOW + self.clock.seconds())
        self.status.startService()

    def connect(self, *, welcomed: bool = True) -> None:
        self.connector.call = SimpleNamespace(carrier=self.carrier, welcomed=welcomed)

    def pass_second(self, received: int = 0, sent: int = 0) -> None:
        self.carrier.bytes_received += received
        self.carrier.bytes_sent += sent
        self.clock.advance(limits.STATUS_SECONDS)


@pytest.fixture
def agent() -> Agent:
    return Agent()


def test_the_word_for_what_it_does_and_since_when(agent: Agent) -> None:
    states = [agent.status.report()["state"]]
    agent.connect(welcomed=False)
    states.append(agent.status.state)
    agent.connect()
    states.append(agent.status.state)
    agent.connector.scans = ("scan-1",)
    states.append(agent.status.state)
    agent.clock.advance(3 * limits.STATUS_SECONDS)
    agent.switch.paused = True
    states.append(agent.status.report()["state"])
    assert states == ["connecting", "connecting", "serving", "scanning", "paused"]
    since = agent.status.report()["since"]
    agent.clock.advance(60)
    assert agent.status.report()["since"] == since == "2023-11-14T22:13:23Z"


def test_rates_are_of_the_last_look_and_of_one_carrier(agent: Agent) -> None:
    agent.connect()
    agent.pass_second(received=1000, sent=10)
    assert (agent.status.to_target_rate, agent.status.to_client_rate) == (0, 0), "nothing to compare with yet"
    agent.pass_second(received=3000, sent=500)
    assert agent.status.to_target_rate == 3000 / limits.STATUS_SECONDS
    assert agent.status.to_client_rate == 500 / limits.STATUS_SECONDS
    agent.carrier = SimpleNamespace(bytes_received=7, bytes_sent=7)
    agent.connect()
    agent.pass_second(received=100)
    assert agent.status.to_target_rate == 0, "another carrier counts anew"
    agent.connector.call = None
    agent.pass_second(received=100)
    assert (agent.status.to_target_rate, agent.status.to_client_rate) == (0, 0)


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0, "0 B/s"), (1023, "1023 B/s"), (1024, "1.0 KiB/s"), (1_572_864, "1.5 MiB/s"), (5 << 30, "5120.0 MiB/s")],
)
def test_the_line(agent: Agent, rate: int, shown: str) -> None:
    agent.status.to_client_rate = rate
    assert agent.status.line() == f"connecting | no scan | 0 streams | {shown}"
    agent.connector.scans = ("scan-1", "scan-\x1b2")
    agent.connector.last_error = "it broke"
    assert agent.status.line() == f"connecting | scan scan-\\x1b2 | 0 streams | {shown} | last error: it broke"


def test_what_follows_each_look_stops_with_it(agent: Agent) -> None:
    looks: list[float] = []
    agent.status.changed.append(lambda: looks.append(agent.clock.seconds()))
    agent.pass_second()
    agent.status.stopService()
    assert looks == [limits.STATUS_SECONDS]
    assert not agent.clock.getDelayedCalls()
