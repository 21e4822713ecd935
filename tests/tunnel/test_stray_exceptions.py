"""Exceptions of the protocols on a carrier's streams."""

from typing import Any

from twisted.internet import error
from twisted.python.failure import Failure

from socksfusion.tunnel.stream import CarrierLost
from tests.tunnel.pair import Pair, Recorder

LOST = error.ConnectionLost


class TestStrayExceptions:
    """Row J3: an exception ends its own stream only."""

    def check_only_this_one_died(self, pair: Pair, broken: Recorder, other: Recorder, failures: list[Failure]) -> None:
        pair.pump()
        assert broken.lost in (ZeroDivisionError, error.ConnectionLost)
        assert [failure.type for failure in failures] == [ZeroDivisionError]
        failures.clear()
        assert other.lost is None
        assert not pair.agent.closing
        assert not pair.proxy.closing

    def test_in_data_received(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()
        here, there = pair.open()
        there.on_data = lambda data: 1 / 0
        here.transport.write(b"x" * 40_000)
        pair.pump()
        assert there.lost is ZeroDivisionError
        assert here.lost is LOST
        self.check_only_this_one_died(pair, there, other, failures)

    def test_in_read_connection_lost(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()
        here, there = pair.open()
        there.readConnectionLost = lambda: 1 / 0
        here.transport.loseWriteConnection()
        self.check_only_this_one_died(pair, there, other, failures)
        assert here.lost is LOST

    def test_in_connection_lost(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()
        here, there = pair.open()
        there.connectionLost = lambda reason: 1 / 0
        here.transport.abortConnection()
        pair.pump()
        assert [failure.type for failure in failures] == [ZeroDivisionError]
        failures.clear()
        assert other.lost is None
        assert not pair.agent.closing

    def test_when_the_carrier_is_lost_everybody_hears(self, failures: list[Failure]) -> None:
        pair = Pair()
        streams = [pair.open()[1] for _ in range(3)]
        streams[0].connectionLost = lambda reason: 1 / 0
        pair.agent.abort("test")
        pair.pump()
        assert [stream.lost for stream in streams[1:]] == [CarrierLost] * 2
        assert pair.agent_owner.losses == ["test"]
        failures.clear()

    def test_in_make_connection(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()

        class Broken(Recorder):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        pair.agent_owner.protocol = Broken
        here, there = pair.open()
        assert here.lost is LOST
        self.check_only_this_one_died(pair, there, other, failures)

    def test_in_building_a_protocol(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()

        def broken() -> Any:
            raise ZeroDivisionError

        pair.agent_owner.protocol = broken
        here, _ = pair.open()
        self.check_only_this_one_died(pair, here, other, failures)
