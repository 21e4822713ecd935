"""What a stream's protocol hears in every order of ends."""

import itertools
from typing import Any

import pytest
from twisted.internet import error
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.tunnel.stream import CarrierLost
from tests.tunnel.pair import Pair

DONE, LOST, ABORTED = error.ConnectionDone, error.ConnectionLost, error.ConnectionAborted


ACTIONS = ("half", "lose", "abort", "peer ends", "peer resets", "carrier lost")


class Ends:
    """What the documentation says that one protocol hears, played beside the real stream."""

    def __init__(self, paused: bool) -> None:
        self.paused = paused
        self.heard: list[Any] = []
        self.unread = [b"data"] if paused else []
        if not paused:
            self.heard.append(b"data")
        self.written = self.ended = self.end_told = self.deaf = False
        self.reason: type | None = None

    def act(self, action: str) -> None:
        if self.over:
            return
        pending = self.reason
        if action == "abort":
            self.stop_reading()
            self.reason = ABORTED
        elif action == "lose":
            self.written = True
            self.stop_reading()
        elif pending is not None:
            pass
        elif action == "half":
            self.written = True
        elif action == "peer ends":
            self.ended = True
        elif action == "peer resets":
            self.reason = LOST
        elif action == "carrier lost":
            if not self.ended:
                self.stop_reading()
            self.reason = CarrierLost
        if self.reason is None and self.written and self.ended:
            self.reason = DONE
        self.settle()

    @property
    def over(self) -> bool:
        return bool(self.heard) and isinstance(self.heard[-1], type)

    def stop_reading(self) -> None:
        self.unread, self.paused, self.deaf = [], False, True

    def settle(self) -> None:
        if self.paused:
            return
        self.heard += self.unread
        self.unread = []
        if self.ended and not self.end_told and not self.deaf:
            self.end_told = True
            self.heard.append("end")
        if self.reason is not None and not self.over:
            self.heard.append(self.reason)


def orders() -> list[tuple[str, ...]]:
    """Every order of up to four of the actions: later ones find the stream gone."""
    return [order for length in range(1, 5) for order in itertools.permutations(ACTIONS, length)]


@pytest.mark.parametrize("paused", [False, True])
def test_connection_lost_once_and_with_the_documented_reason_in_every_order_of_ends(paused: bool) -> None:
    pair = Pair()
    for order in orders():
        if pair.proxy.gone:
            pair = Pair()
        here, there = pair.open()
        if paused:
            here.transport.pauseProducing()
        there.transport.write(b"data")
        pair.pump()
        model = Ends(paused)
        for action in order:
            act(pair, here, there, action)
            pair.pump()
            model.act(action)
            assert here.heard == model.heard, order
        model.paused = False
        model.settle()
        here.transport.resumeProducing()
        pair.pump()
        assert here.heard == model.heard, order
        if "carrier lost" in order:
            assert here.lost is not None
            assert there.lost is not None
            pair.pass_time(limits.SESSION_CLOSE_SECONDS)
            assert not pair.clock.getDelayedCalls()


def act(pair: Pair, here: Any, there: Any, action: str) -> None:
    if action == "half":
        here.transport.loseWriteConnection()
    elif action == "lose":
        here.transport.loseConnection()
    elif action == "abort":
        here.transport.abortConnection()
    elif action == "peer ends":
        there.transport.loseWriteConnection()
    elif action == "peer resets":
        there.transport.abortConnection()
    else:
        pair.proxy.abort("gone")


def test_data_before_an_end_is_delivered_though_the_carrier_is_lost_after() -> None:
    pair = Pair()
    here, there = pair.open()
    here.transport.pauseProducing()
    there.transport.write(b"x" * 100_000)
    there.transport.loseWriteConnection()
    pair.pump()
    pair.proxy.abort("gone")
    pair.pump()
    assert here.heard == []
    here.transport.resumeProducing()
    pair.pump()
    assert here.data == b"x" * 100_000
    assert here.ends == ["end", CarrierLost]


def test_a_cut_transfer_is_seen_as_cut() -> None:
    pair = Pair()
    here, there = pair.open()
    here.transport.pauseProducing()
    there.transport.write(b"x" * 100_000)
    pair.pump()
    pair.proxy.abort("gone")
    pair.pump()
    assert here.heard == [CarrierLost]
    assert issubclass(CarrierLost, LOST)


def test_whoever_watches_hears_of_the_end_after_the_protocol_and_one_that_fails_disturbs_no_other(
    failures: list[Failure],
) -> None:
    pair = Pair()
    here, _ = pair.open()
    heard: list[Any] = []

    def fails(stream: object, reason: Failure) -> None:
        raise RuntimeError("a watcher's own")

    here.transport.when_lost(fails)
    here.transport.when_lost(lambda stream, reason: heard.append((list(here.heard), stream, reason.type)))
    pair.proxy.abort("gone")
    pair.pump()
    assert heard == [([CarrierLost], here.transport, CarrierLost)]
    assert [failure.type for failure in failures] == [RuntimeError]
    failures.clear()
    here.transport.when_lost(lambda _, reason: heard.append(reason.type))
    assert heard[1:] == [CarrierLost]
