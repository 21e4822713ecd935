"""Liveness: who is pinged when, who is dead, what a machine that slept does. Time by one Clock."""

from typing import Any

import pytest

from socksfusion import limits
from socksfusion.tunnel.liveness import Liveness, suspended_seconds
from tests.tunnel.pair import Pair

STEP = 0.5


class Sleep:
    """How long the machine has slept, as far as the test says."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def watched(pair: Pair, **arguments: Any) -> Liveness:
    liveness = Liveness(pair.clock, suspended=arguments.pop("suspended", Sleep()), **arguments)
    liveness.startService()
    liveness.watch(pair.proxy)
    return liveness


class TestPings:
    def test_an_idle_carrier_lives_on(self) -> None:
        pair = Pair()
        watched(pair)
        before = pair.agent.last_received
        pair.pass_time(600, step=STEP)
        assert not pair.proxy.closing
        assert pair.agent.last_received - before > 580
        assert pair.proxy.session.round_trip == 0

    def test_a_dead_one_is_known_by_45_seconds(self) -> None:
        """Rows B11, B12."""
        pair = Pair()
        watched(pair)
        here, _ = pair.open()
        pair.pass_time(0.5)
        pair.stall()
        pair.pass_time(29, step=STEP)
        assert not pair.proxy.gone
        pair.pass_time(16, step=STEP)
        assert pair.proxy_owner.losses == ["no answer to 2 pings"]
        assert here.lost is not None

    def test_both_ends_know_by_45_seconds_by_liveness_alone(self) -> None:
        """A carrier that takes no byte, with all queues full."""
        pair = Pair()
        liveness = watched(pair)
        liveness.watch(pair.agent)
        streams = [pair.open() for _ in range(20)]
        pair.stall()
        for here, there in streams:
            here.transport.write(b"x" * 200_000)
            there.transport.write(b"y" * 200_000)
        pair.pass_time(45, step=STEP)
        assert pair.proxy.gone
        assert pair.agent.gone
        assert all(here.lost is not None and there.lost is not None for here, there in streams)

    def test_a_stall_of_15_seconds_loses_nothing(self) -> None:
        pair = Pair()
        liveness = watched(pair)
        liveness.watch(pair.agent)
        here, there = pair.open()
        pair.pass_time(10, step=STEP)
        pair.stall()
        here.transport.write(b"x" * 100_000)
        pair.pass_time(15, step=STEP)
        pair.flow()
        pair.pass_time(60, step=STEP)
        assert there.data == b"x" * 100_000
        assert not pair.proxy.closing
        assert not pair.agent.closing

    def test_any_byte_counts_as_life(self) -> None:
        """On a slow line the answer to a ping may wait behind data that is under way."""
        pair = Pair()
        watched(pair)
        pair.proxy_end.stalled = True
        there = pair.agent
        for _ in range(120):
            pair.pass_time(1)
            there.ping()
        assert not pair.proxy.closing

    @pytest.mark.parametrize("interval", [0.1, 0.4, 1.0, 2.5])
    def test_short_intervals_neither_spin_nor_kill(self, interval: float) -> None:
        """txaio's timer rounds to whole seconds."""
        pair = Pair()
        pinged = 0

        def count() -> None:
            nonlocal pinged
            pinged += 1

        ping = pair.proxy.ping
        pair.proxy.ping = lambda: (count(), ping())[1]  # type: ignore[func-returns-value, method-assign]
        watched(pair, ping_seconds=interval)
        pair.pass_time(10.3, step=interval / 4)
        assert not pair.proxy.closing
        assert 9 / interval <= pinged <= 11 / interval + 1
        pair.stall()
        pair.pass_time(4 * interval, step=interval / 4)
        assert pair.proxy.gone

    def test_pings_missed_is_an_option(self) -> None:
        pair = Pair()
        watched(pair, pings_missed=4)
        pair.stall()
        pair.pass_time(59, step=STEP)
        assert not pair.proxy.gone
        pair.pass_time(16, step=STEP)
        assert pair.proxy_owner.losses == ["no answer to 4 pings"]

    def test_one_that_is_ending_is_left_to_end(self) -> None:
        pair = Pair()
        watched(pair)
        pair.proxy.fail("test")
        pair.pass_time(60, step=STEP)
        assert pair.proxy_owner.losses == ["protocol error: test"]

    def test_forgotten_ones_are_not_pinged(self) -> None:
        pair = Pair()
        liveness = watched(pair)
        pair.pass_time(1)
        received = pair.agent.last_received
        liveness.forget(pair.proxy)
        liveness.forget(pair.proxy)
        pair.pass_time(60, step=STEP)
        assert pair.agent.last_received == received

    def test_nothing_is_left_after_the_service_stopped(self) -> None:
        pair = Pair()
        liveness = watched(pair)
        liveness.stopService()
        pair.pass_time(120, step=STEP)
        assert not pair.clock.getDelayedCalls()


class TestHeartbeat:
    def test_beats_until_forgotten(self) -> None:
        pair = Pair()
        liveness = watched(pair, heartbeat_seconds=60)
        beats: list[float] = []
        liveness.forget(pair.proxy)
        liveness.watch(pair.proxy, lambda: beats.append(pair.clock.seconds()))
        pair.pass_time(181, step=STEP)
        assert len(beats) == 3
        assert all(abs(beat - 60 * number) <= limits.TIMER_BUCKET_SECONDS for number, beat in enumerate(beats, 1))
        liveness.forget(pair.proxy)
        pair.pass_time(100, step=STEP)
        assert len(beats) == 3


class TestSleep:
    def test_a_machine_that_slept_asks_at_once(self) -> None:
        pair = Pair()
        sleep = Sleep()
        watched(pair, suspended=sleep)
        pair.pass_time(2)
        pair.stall()
        sleep.seconds += 3600
        pair.pass_time(1 + limits.URGENT_PING_SECONDS)
        assert pair.proxy_owner.losses == ["no answer after this machine slept"]

    def test_and_keeps_whoever_answers(self) -> None:
        pair = Pair()
        sleep = Sleep()
        watched(pair, suspended=sleep)
        sleep.seconds += 3600
        pair.pass_time(10)
        assert not pair.proxy.closing

    def test_a_nap_is_none(self) -> None:
        pair = Pair()
        sleep = Sleep()
        watched(pair, suspended=sleep)
        pair.stall()
        for _ in range(4):
            sleep.seconds += limits.SUSPEND_JUMP_SECONDS
            pair.pass_time(1)
        assert not pair.proxy.closing

    def test_one_that_is_lost_meanwhile_is_no_trouble(self) -> None:
        pair = Pair()
        sleep = Sleep()
        liveness = watched(pair, suspended=sleep)
        pair.stall()
        sleep.seconds += 3600
        pair.pass_time(1)
        pair.proxy.abort("other")
        pair.pump()
        liveness.forget(pair.proxy)
        pair.pass_time(10)
        assert pair.proxy_owner.losses == ["other"]

    def test_the_clocks_of_this_machine_differ_by_its_sleep_only(self) -> None:
        assert abs(suspended_seconds() - suspended_seconds()) < 1

    def test_a_system_without_that_clock_never_slept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr("time.CLOCK_BOOTTIME")
        monkeypatch.delattr("time.clock_gettime")
        assert suspended_seconds() == 0
