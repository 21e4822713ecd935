"""The connector: what follows from each end of a call, and the seven lines at their moments. One Clock."""

import itertools
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.defer import Deferred

from socksfusion import limits
from socksfusion.agent.outbound.errors import OutboundLoginFailed
from socksfusion.wire.control_messages import Hello, ScanFinished, ScanStarted
from tests.agent.fake_proxy import World
from tests.tunnel.certificates import HOST, agent_side, proxy_side

CONNECTING, ESTABLISHED = "Connecting to server...", "Connection established"
pytestmark = pytest.mark.usefixtures("no_failures")


@pytest.fixture
def world() -> World:
    made = World()
    made.connector.startService()
    return made


class TestDialling:
    def test_it_dials_at_the_start(self, world: World) -> None:
        assert world.dials == 1
        assert world.lines == [CONNECTING]

    def test_failures_are_tried_again_at_growing_distances(self, world: World) -> None:
        at = []
        for _ in range(7):
            at.append(world.clock.seconds())
            world.fail(error.ConnectionRefusedError())
            before = world.dials
            while world.dials == before:
                world.clock.advance(0.5)
        assert [later - sooner for sooner, later in itertools.pairwise(at)] == [1, 2, 4, 8, 16, 30]
        assert world.lines == [CONNECTING] * 8

    def test_a_dial_that_nobody_answers_is_given_up_and_tried_again(self, world: World) -> None:
        world.clock.advance(limits.HANDSHAKE_SECONDS)
        assert world.endpoint.cancelled == 1
        world.clock.advance(0.9)
        assert world.dials == 1
        world.clock.advance(0.1)
        assert world.dials == 2

    def test_a_proxy_that_says_nothing_is_given_up(self, world: World) -> None:
        side = world.accept(protocol=None)
        world.pass_time(limits.HANDSHAKE_SECONDS - 0.25)
        assert side.lost_why is None
        world.pass_time(0.5)
        assert side.lost_why is not None
        world.pass_time(1)
        assert world.dials == 2

    def test_a_proxy_that_does_not_decide_is_given_up(self, world: World) -> None:
        side = world.accept()
        world.pass_time(limits.HANDSHAKE_SECONDS + 0.25)
        assert side.lost_why is not None

    def test_a_welcome_begins_the_distances_anew(self, world: World) -> None:
        for _ in range(5):
            world.fail(error.ConnectionRefusedError())
            world.clock.advance(30)
        side = world.serve()
        side.carrier.abort("test")
        world.pump()
        before = world.dials
        world.pass_time(1)
        assert world.dials == before + 1

    def test_a_lost_carrier_is_dialled_again_as_the_same_program(self, world: World) -> None:
        hellos = []
        for _ in range(3):
            side = world.serve()
            assert isinstance(side.received[0], Hello)
            hellos.append(side.received[0].program_id)
            side.carrier.abort("test")
            world.pass_time(2)
        assert len(set(hellos)) == 1
        assert world.lines == [CONNECTING, ESTABLISHED] * 3 + [CONNECTING]

    def test_a_silent_carrier_is_noticed(self, world: World) -> None:
        side = world.serve()
        side.end.stalled = side.agent_end.stalled = True
        world.pass_time(46, step=0.5)
        assert world.connector.call is None
        assert world.dials == 2


class TestSeveralWays:
    @pytest.fixture
    def world(self) -> World:
        made = World(others=("second.example", "third.example"))
        made.connector.startService()
        return made

    def dialled(self, world: World) -> str:
        world.clock.advance(0)
        assert world.connector.proxy == f"{world.calls.host}:443"
        return world.calls.host

    def test_the_next_is_dialled_at_once_and_a_round_is_followed_by_a_wait(self, world: World) -> None:
        for seconds in (1, 2, 4):
            for host in (HOST, "second.example", "third.example"):
                assert self.dialled(world) == host
                world.fail(error.ConnectionRefusedError())
            before = world.dials
            world.clock.advance(seconds - 0.1)
            assert world.dials == before
            world.clock.advance(0.1)
            assert world.dials == before + 1

    def test_a_proxy_of_another_name_is_a_failure_too(self, world: World) -> None:
        world.fail(error.ConnectionRefusedError())
        assert self.dialled(world) == "second.example"
        world.accept()
        assert self.dialled(world) == "third.example"
        assert world.dials == 3

    def test_one_that_served_is_dialled_again_first_and_after_a_wait(self, world: World) -> None:
        side = world.serve()
        side.carrier.abort("test")
        world.pump()
        assert world.dials == 1
        world.pass_time(1)
        assert world.dials == 2
        assert self.dialled(world) == HOST
        world.fail(error.ConnectionRefusedError())
        assert self.dialled(world) == "second.example"
        assert world.dials == 3

    def test_a_refusal_waits_at_the_same_address(self, world: World) -> None:
        world.accept().refuse("duplicate")
        world.pass_time(limits.DUPLICATE_RETRY_SECONDS - 0.25)
        assert world.dials == 1
        world.pass_time(0.5)
        assert world.dials == 2
        assert self.dialled(world) == HOST

    def test_a_refused_login_of_the_network_is_not_tried_again_soon(self, world: World) -> None:
        world.fail(OutboundLoginFailed("the outbound proxy does not take the password"))
        world.clock.advance(limits.OUTBOUND_LOGIN_RETRY_SECONDS)
        assert world.dials == 1
        world.clock.advance(limits.OUTBOUND_LOGIN_RETRY_SECONDS * 0.1)
        assert world.dials == 2


class TestNetworkChanges:
    @pytest.fixture
    def owned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("socksfusion.agent.connector.owns_address", lambda address: True)

    def test_a_wait_is_cut_short_and_the_distances_begin_anew(self, world: World) -> None:
        for _ in range(5):
            world.fail(error.ConnectionRefusedError())
            world.clock.advance(30)
        world.fail(error.ConnectionRefusedError())
        before = world.dials
        world.connector.network_changed()
        assert world.dials == before + 1
        world.fail(error.ConnectionRefusedError())
        world.clock.advance(1)
        assert world.dials == before + 2

    @pytest.mark.parametrize(
        ("reason", "seconds"), [("duplicate", limits.DUPLICATE_RETRY_SECONDS), ("unknown", 0.9 * 300)]
    )
    def test_a_wait_that_was_asked_for_is_kept(self, reason: str, seconds: float) -> None:
        world = World(uniform=lambda low, high: low)
        world.connector.startService()
        world.accept().refuse(reason)
        world.pump()
        world.connector.network_changed()
        world.pass_time(seconds - 0.5)
        assert world.dials == 1
        world.pass_time(0.75)
        assert world.dials == 2

    def test_a_login_that_was_refused_is_not_given_sooner(self, world: World) -> None:
        world.fail(OutboundLoginFailed("the outbound proxy does not take the password"))
        world.connector.network_changed()
        world.clock.advance(limits.OUTBOUND_LOGIN_RETRY_SECONDS * 0.85)
        assert world.dials == 1

    def test_a_dial_that_began_before_is_given_a_moment_and_begun_anew(self, world: World) -> None:
        for _ in range(20):
            world.connector.network_changed()
            world.clock.advance(limits.URGENT_PING_SECONDS / 20)
        world.clock.advance(0.1)
        world.clock.advance(0)
        assert world.endpoint.cancelled == 1
        assert world.dials == 2

    def test_a_handshake_that_began_before_too(self, world: World) -> None:
        side = world.accept()
        side.end.stalled = side.agent_end.stalled = True
        world.connector.network_changed()
        world.pass_time(limits.URGENT_PING_SECONDS + 1)
        assert world.dials == 2

    @pytest.mark.usefixtures("owned")
    def test_a_carrier_that_answers_stays(self, world: World) -> None:
        side = world.serve()
        for _ in range(100):
            world.connector.network_changed()
            world.pass_time(0.5)
        assert world.connector.call is not None
        assert side.lost_why is None
        assert world.dials == 1

    @pytest.mark.parametrize(
        ("kept", "seconds"), [(True, limits.NETWORK_CHECK_SECONDS), (False, limits.URGENT_PING_SECONDS)]
    )
    def test_a_carrier_that_does_not_is_replaced_at_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch, kept: bool, seconds: float
    ) -> None:
        monkeypatch.setattr("socksfusion.agent.connector.owns_address", lambda address: kept)
        side = world.serve()
        side.end.stalled = side.agent_end.stalled = True
        world.connector.network_changed()
        world.pass_time(seconds - 0.25)
        assert world.dials == 1
        world.pass_time(0.5)
        assert world.dials == 2

    def test_after_the_end_it_means_nothing(self, world: World) -> None:
        world.connector.stopService()
        world.connector.network_changed()
        assert not world.clock.getDelayedCalls()


class TestImpostors:
    """Row F3."""

    def test_a_proxy_of_another_ca_hears_no_hello(self, world: World) -> None:
        side = world.accept(context=proxy_side(1))
        world.pump()
        assert side.received == []
        assert not side.carrier.handshaken
        assert world.lines == [CONNECTING]
        world.pass_time(1)
        assert world.dials == 2

    def test_a_proxy_of_another_name_is_left_without_a_word(self) -> None:
        world = World(host="other.example.org")
        world.connector.startService()
        side = world.accept()
        world.pump()
        assert side.received == []
        assert side.lost_why is not None
        assert world.lines == [CONNECTING]

    def test_its_address_will_do_where_the_certificate_has_it(self) -> None:
        world = World(host="192.0.2.1")
        world.connector.startService()
        world.serve()
        assert world.lines == [CONNECTING, ESTABLISHED]

    def test_a_refused_certificate_is_tried_again(self) -> None:
        world = World(context=agent_side(number=1, trusts=0))
        world.connector.startService()
        world.accept()
        world.pass_time(2.5)
        assert world.lines == [CONNECTING, CONNECTING]


class TestRefusals:
    def refused(self, reason: str, **connector: Any) -> World:
        world = World(**connector)
        world.connector.startService()
        world.accept().refuse(reason)
        world.pump()
        return world

    def test_duplicate_comes_back_every_5_seconds_with_the_same_key(self) -> None:
        world = self.refused("duplicate")
        for _ in range(3):
            assert world.lines == [CONNECTING, ESTABLISHED, "Another agent already connected"]
            world.lines.clear()
            world.pass_time(4.75)
            assert world.lines == []
            world.pass_time(0.25)
            world.accept().refuse("duplicate")
            world.pump()

    def test_unknown_comes_back_after_5_minutes_for_ever(self) -> None:
        world = self.refused("unknown")
        for _ in range(3):
            assert world.lines == [CONNECTING, ESTABLISHED, "This agent is not registered"]
            world.lines.clear()
            world.pass_time(329, step=1)
            assert world.lines == []
            world.pass_time(2, step=1)
            world.accept().refuse("unknown")
            world.pump()
        assert world.left == []

    def test_unknown_leaves_where_it_is_told_to(self) -> None:
        world = self.refused("unknown", leaves=["replaced", "unknown"])
        assert world.lines[-1] == "This agent is not registered"
        assert world.left == ["unknown"]
        assert world.dials == 1

    def test_replaced_leaves(self) -> None:
        world = self.refused("replaced")
        assert world.lines == [CONNECTING, ESTABLISHED, "This agent is not registered"]
        assert world.left == ["replaced"]
        world.pass_time(600, step=10)
        assert world.dials == 1

    def test_another_version_waits_long_and_is_none_of_the_seven_lines(self) -> None:
        world = self.refused("version")
        assert world.lines == [CONNECTING, ESTABLISHED]
        world.pass_time(29, step=1)
        assert world.dials == 1
        world.pass_time(2, step=1)
        assert world.dials == 2

    def test_a_refusal_is_forgotten_with_its_call(self) -> None:
        world = self.refused("duplicate")
        world.pass_time(5)
        world.serve().carrier.abort("test")
        world.pass_time(1.25)
        assert world.dials == 3

    def test_one_that_served_may_be_refused_later(self) -> None:
        world = World()
        world.connector.startService()
        side = world.serve()
        client = side.open()
        world.pump()
        side.refuse("replaced")
        world.pump()
        assert client.lost is not None
        assert world.targets[0].lost is not None
        assert world.left == ["replaced"]


class TestScans:
    def test_f_a_proxy_can_not_fill_the_memory_with_scans(self, world: World) -> None:
        side = world.serve()
        for number in range(limits.SCANS_REMEMBERED + 1):
            side.control.send(ScanStarted(scan=str(number)))
            world.pump()
        assert len(world.connector._scans) == limits.SCANS_REMEMBERED
        side.control.send(ScanStarted(scan=str(limits.SCANS_REMEMBERED)))
        world.pump()
        assert world.connector.scans[0] == "1", "the oldest was forgotten"
        assert world.connector.scans[-1] == str(limits.SCANS_REMEMBERED)
        assert world.lines.count("Scan is started") == limits.WORDS_OF_PROXY_AT_ONCE

    def test_a_scan_is_told_once_also_over_a_reconnection(self, world: World) -> None:
        side = world.serve()
        side.control.send(ScanStarted(scan="one"))
        world.pump()
        side.carrier.abort("test")
        world.pass_time(2)
        side = world.serve()
        side.control.send(ScanStarted(scan="one"))
        world.pump()
        assert world.lines.count("Scan is started") == 1
        side.control.send(ScanFinished(scan="one"))
        side.control.send(ScanStarted(scan="two"))
        world.pump()
        assert world.lines.count("Scan is started") == 2


class TestStopping:
    def stopped(self, world: World) -> list[Any]:
        fired: list[Any] = []
        result = world.connector.stopService()
        if isinstance(result, Deferred):
            result.addCallback(fired.append)
        else:
            fired.append(result)
        return fired

    def test_while_it_waits(self, world: World) -> None:
        world.fail(error.ConnectionRefusedError())
        assert self.stopped(world) == [None]
        assert not world.clock.getDelayedCalls()

    def test_while_it_dials(self, world: World) -> None:
        assert self.stopped(world) == [None]
        assert world.endpoint.cancelled == 1
        assert not world.clock.getDelayedCalls()

    def test_while_it_is_judged(self, world: World) -> None:
        world.accept()
        fired = self.stopped(world)
        world.pump()
        assert fired == [None]
        assert not world.clock.getDelayedCalls()

    def test_while_it_serves_the_proxy_is_told(self, world: World) -> None:
        side = world.serve()
        fired = self.stopped(world)
        assert fired == []
        world.pump()
        assert fired == [None]
        assert side.lost_why == "the other end left in order"
        world.pass_time(60, step=1)
        assert world.dials == 1
        assert not world.clock.getDelayedCalls()

    def test_a_proxy_that_takes_nothing_holds_it_up_for_5_seconds(self, world: World) -> None:
        side = world.serve()
        side.end.stalled = side.agent_end.stalled = True
        fired = self.stopped(world)
        world.pass_time(limits.SESSION_CLOSE_SECONDS - 0.25)
        assert fired == []
        world.pass_time(0.25)
        assert fired == [None]

    def test_after_it_was_refused(self, world: World) -> None:
        side = world.accept()
        side.end.stalled = side.agent_end.stalled = True
        fired = self.stopped(world)
        world.pass_time(limits.SESSION_CLOSE_SECONDS)
        assert fired == [None]
