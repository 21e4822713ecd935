"""Who asks for a stream: in order, withdrawn, and told when the carrier takes no more."""

from typing import Any

import pytest
from twisted.internet import error
from twisted.python.failure import Failure

from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.yamux.frames import LAST_STREAM_ID
from tests.tunnel.pair import HalfCloseable, Pair

LOST = error.ConnectionLost


class TestOpening:
    def opened(self, pair: Pair, count: int) -> list[tuple[int, StreamTransport | None]]:
        told: list[tuple[int, StreamTransport | None]] = []
        for number in range(count):

            def opened(transport: StreamTransport | None, number: int = number) -> None:
                told.append((number, transport))
                if transport is not None:
                    transport.write(b"hello")

            pair.proxy.open_stream(opened)
        return told

    def test_above_256_unacknowledged_they_wait_in_order(self) -> None:
        pair = Pair()
        pair.stall()
        told = self.opened(pair, 300)
        pair.pump()
        assert [number for number, _ in told] == list(range(256))
        pair.flow()
        pair.pump()
        assert [number for number, _ in told] == list(range(300))
        assert all(transport is not None and transport.getPeer().stream == 2 * number + 1 for number, transport in told)

    def test_j3_one_that_raises_harms_nobody_and_leaves_no_stream(self, failures: list[Failure]) -> None:
        pair = Pair()
        _, other = pair.open()

        def broken(transport: StreamTransport | None) -> None:
            raise ZeroDivisionError

        pair.proxy.open_stream(broken)
        pair.pump()
        assert [failure.type for failure in failures] == [ZeroDivisionError]
        failures.clear()
        assert other.lost is None
        assert len(pair.proxy.session.streams) == len(pair.agent.session.streams) == 1

    def test_one_is_withdrawn(self) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        told: list[Any] = []
        pair.proxy.open_stream(lambda transport: told.append("first"))
        second = lambda transport: told.append("second")  # noqa: E731
        pair.proxy.open_stream(second)
        pair.proxy.open_stream(lambda transport: told.append("third"))
        pair.proxy.withdraw(second)
        pair.proxy.withdraw(second)
        pair.flow()
        pair.pump()
        assert told == ["first", "third"]

    def test_a_reset_of_one_makes_room_for_the_next(self) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        told = self.opened(pair, 2)
        transport = told[0][1]
        assert transport is not None
        transport.abortConnection()
        pair.pump()
        assert [number for number, _ in told] == [0, 1]

    def test_a_reader_that_pauses_at_its_end_keeps_nobody_waiting(self) -> None:
        pair = Pair(max_streams=1)
        here, there = pair.open()
        told: list[Any] = []
        here.transport.pauseProducing()
        there.transport.write(b"unread")
        there.transport.loseConnection()
        pair.pump()
        pair.proxy.open_stream(told.append)
        assert told == []
        here.transport.loseWriteConnection()
        pair.pump()
        assert len(told) == 1
        assert here.heard == []

    @pytest.mark.parametrize("how", ["abort", "end", "loss", "refusal", "peer goes away", "peer's fault"])
    def test_all_are_told_at_once_when_the_carrier_takes_no_more(self, how: str) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        told = self.opened(pair, 3)
        if how == "abort":
            pair.proxy.abort("test")
        elif how == "end":
            pair.proxy.end("test")
        elif how == "loss":
            pair.proxy_end.lose(Failure(LOST()))
        elif how == "refusal":
            assert told[0][1] is not None
            pair.proxy.refuse("test", keep=told[0][1])
        elif how == "peer goes away":
            pair.flow()
            pair.agent.session.go_away(0)
            pair.agent.flush_soon()
            pair.proxy_end.stalled = True
            pair.pump()
        else:
            pair.agent.tls.send(b"\x01" + b"\0" * 11)
            pair.agent._flush_tls()
            pair.agent_end.stalled = False
            pair.pump()
        assert told[1:] == [(1, None), (2, None)]
        assert not pair.proxy._queue.possible
        later: list[Any] = []
        pair.proxy.open_stream(later.append)
        assert later == [None]

    def test_one_that_raises_hinders_no_other(self, failures: list[Failure]) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        self.opened(pair, 1)
        pair.proxy.open_stream(lambda transport: 1 / 0)  # type: ignore[arg-type]
        told = self.opened(pair, 1)
        pair.flow()
        pair.pump()
        assert len(told) == 1
        assert [failure.type for failure in failures] == [ZeroDivisionError]
        failures.clear()
        assert not pair.proxy.closing

    def test_a_session_whose_ids_are_used_up_ends_for_a_new_one(self) -> None:
        """Row B9: long before an id would be used twice."""
        pair = Pair()
        pair.proxy.session._next_id = LAST_STREAM_ID
        told: list[Any] = []
        pair.proxy.open_stream(told.append)
        assert told == [None]
        pair.pump()
        assert pair.proxy_owner.losses == ["the numbers of its streams are used up"]


class TestUsers:
    """Several users of one carrier (attacks.md, row J2)."""

    def open(self, pair: Pair, user: str, count: int = 1) -> list[StreamTransport]:
        """The streams that ``count`` opens have got, and get later."""
        got: list[StreamTransport] = []

        def opened(transport: StreamTransport | None) -> None:
            assert transport is not None
            transport.protocol = HalfCloseable()
            transport.protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
            got.append(transport)

        for _ in range(count):
            pair.proxy.open_stream(lambda transport: opened(transport), user)
        pair.pump()
        return got

    def test_j2_they_take_turns(self) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        order: list[str] = []
        for user, count in (("greedy", 5), ("other", 2), ("third", 1)):
            for _ in range(count):
                pair.proxy.open_stream(lambda transport, user=user: order.append(user), user)  # type: ignore[misc]
        pair.flow()
        pair.pump()
        assert order == ["greedy", "greedy", "other", "third", "greedy", "other", "greedy", "greedy"]

    def test_j2_one_who_withdraws_is_no_turn(self) -> None:
        pair = Pair(max_unacknowledged=1)
        pair.stall()
        order: list[str] = []
        takers: dict[str, Any] = {user: lambda transport, user=user: order.append(user) for user in "abc"}
        for user, taker in takers.items():
            pair.proxy.open_stream(taker, user)
        pair.proxy.withdraw(takers["b"])
        pair.flow()
        pair.pump()
        assert order == ["a", "c"]

    def test_j2_one_who_keeps_streams_open_leaves_some_for_others(self) -> None:
        pair = Pair(max_streams=16)
        greedy = self.open(pair, "greedy", 20)
        assert len(greedy) == 12
        other = self.open(pair, "other", 20)
        assert len(other) == 3
        assert len(self.open(pair, "third")) == 1
        assert len(greedy) == 12

    def test_j2_what_waits_for_its_own_share_goes_on_when_one_ends(self) -> None:
        pair = Pair(max_streams=16)
        greedy = self.open(pair, "greedy", 14)
        assert len(greedy) == 12
        for transport in greedy[:2]:
            transport.abortConnection()
        pair.pump()
        assert len(greedy) == 14
        for transport in greedy:
            transport.abortConnection()
        pair.pump()
        assert len(self.open(pair, "greedy", 12)) == 12
