"""Many Agents that lose their Proxy at once come back spread over time (attacks, row K2).

Full jitter: after a loss at 0 each waits for a random time below 1 s, then below 2 s, 4 s … 30 s. The draws come from
fixed seeds, so what is compared with the expectation is the same in every run.
"""

import random
from collections import Counter

import pytest
from twisted.internet import error

from socksfusion import limits
from tests.agent.fake_proxy import World

AGENTS = 500
TICK = 0.1


def dials_of(agent: int, seed: int, seconds: float) -> list[float]:
    """When one Agent dials a Proxy that refuses every connection, from its loss on."""
    world = World(uniform=random.Random(seed * AGENTS + agent).uniform)
    world.connector.startService()
    at: list[float] = []
    seen = 0
    while world.clock.seconds() < seconds:
        while world.dials > seen:
            if seen:
                at.append(world.clock.seconds())
            seen += 1
            world.fail(error.ConnectionRefusedError())
        waits = [call.getTime() for call in world.clock.getDelayedCalls()]
        world.clock.advance(min(waits) - world.clock.seconds())
    return [moment for moment in at if moment < seconds]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_500_agents_come_back_without_a_stampede(seed: int) -> None:
    moments = [moment for agent in range(AGENTS) for moment in dials_of(agent, seed, 120)]
    spans = Counter(int(moment / TICK) for moment in moments)
    # in the first second 50 first dials a tenth of it are expected, and fewer that are an Agent's second or third
    first_second = [spans[span] for span in range(10)]
    assert min(first_second) > 25
    assert max(spans.values()) < AGENTS / 4
    # from the largest bound on each dials every 15 s on average
    late = sum(1 for moment in moments if 60 <= moment < 120) / 60
    assert late == pytest.approx(AGENTS / (limits.RECONNECT_LARGEST_SECONDS / 2), rel=0.2)
    assert max(count for span, count in spans.items() if span * TICK >= 60) < 20
