"""Users of one slow carrier get the same, however many streams each has (attacks.md, row J2)."""

from typing import Any

import pytest

from socksfusion.limits import INITIAL_WINDOW_BYTES, KIB
from socksfusion.tunnel.stream import StreamTransport
from tests.tunnel.pair import HalfCloseable, Pair

BULK = bytes(INITIAL_WINDOW_BYTES)
STEP_BYTES = 128 * KIB
"""What the line carries in one step, each way."""


class Counting(HalfCloseable):
    """Counts what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def dataReceived(self, data: bytes) -> None:
        self.bytes += len(data)


def opened(pair: Pair, user: str, count: int) -> list[tuple[Any, Any]]:
    """``count`` streams of ``user``: the protocols at the Proxy and at the Agent, which knows the user too."""
    here: list[Any] = []

    def take(transport: StreamTransport | None) -> None:
        assert transport is not None
        transport.protocol = Counting()
        transport.protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
        here.append(transport.protocol)

    before = len(pair.agent_owner.protocols)
    for _ in range(count):
        pair.proxy.open_stream(lambda transport: take(transport), user)
    pair.pump()
    there = pair.agent_owner.protocols[before:]
    for protocol in there:
        protocol.transport.belong_to(user)
    assert len(here) == len(there) == count
    return list(zip(here, there, strict=True))


@pytest.mark.parametrize("way", ["to the agent", "to the proxy"])
def test_j2_a_thousand_bulk_streams_of_one_leave_half_of_the_line_to_another(way: str) -> None:
    pair = Pair(protocol=Counting, capacity=STEP_BYTES)
    ends = {user: opened(pair, user, count) for user, count in (("greedy", 1000), ("other", 1))}
    if way == "to the proxy":
        ends = {user: [(there, here) for here, there in streams] for user, streams in ends.items()}
    for streams in ends.values():
        for sender, _ in streams:
            sender.transport.write(BULK)
    ((one, its_reader),) = ends["other"]
    for _ in range(200):
        # as much as it may, as a relay writes
        if not one.transport.write_paused:
            one.transport.write(BULK)
        pair.clock.advance(0.01)
        for end in (pair.proxy_end, pair.agent_end):
            end.move(STEP_BYTES)
    greedy = sum(reader.bytes for _, reader in ends["greedy"])
    assert greedy + its_reader.bytes > 100 * STEP_BYTES
    assert 0.45 < its_reader.bytes / (greedy + its_reader.bytes) < 0.55
