"""The gate: design decision 3 in all its cases, with real carriers and one Clock."""

import pytest
from twisted.internet.error import ConnectionLost

from socksfusion import limits
from socksfusion.wire.messages import PROTOCOL, Hello, Refused, Running, Welcome
from tests.proxy.gatehouse import Gatehouse, Visitor, digest
from tests.tunnel.pair import HalfCloseable
from tests.tunnel.stream_opening import open_stream


def house_of_acme() -> Gatehouse:
    house = Gatehouse()
    house.book.register("acme", digest())
    return house


def stream_to(house: Gatehouse, visitor: Visitor) -> HalfCloseable:
    """A Client's stream to a visitor that serves."""
    stream = open_stream(visitor.proxy_end.protocol)
    house.pump()
    return stream


class TestWelcome:
    def test_a_registered_key_serves_after_hello_and_hello(self) -> None:
        house = house_of_acme()
        visitor = house.come()
        first, second = visitor.received
        assert isinstance(first, Hello)
        assert first.protocol == PROTOCOL
        assert second == Welcome(agent="acme", heartbeat=limits.HEARTBEAT_SECONDS)
        assert house.serving() is visitor
        assert house.book.notes == [("seen", "acme", "198.51.100.7:40000", "test/1", 1000.0)]

    def test_the_heartbeat_comes_while_it_serves(self) -> None:
        house = house_of_acme()
        visitor = house.come()
        house.pass_time(3 * limits.HEARTBEAT_SECONDS + 1, step=1)
        assert visitor.received.count(Running()) == 3

    def test_identity_is_the_key_and_no_name(self) -> None:
        """Row E1: the certificate says acme, the registry says what its key is."""
        house = Gatehouse()
        house.book.register("other", digest())
        visitor = house.come()
        assert visitor.welcome is not None
        assert visitor.welcome.agent == "other"

    def test_a_key_registered_between_handshake_and_hello_gets_its_name(self) -> None:
        house = Gatehouse()
        visitor = house.come(says_hello=False)
        house.book.register("acme", digest())
        visitor.say_hello()
        house.pump()
        assert visitor.welcome is not None
        assert visitor.welcome.agent == "acme"
        assert house.serving() is visitor

    def test_its_end_is_written_down(self) -> None:
        house = house_of_acme()
        visitor = house.come()
        visitor.carrier.end("stopped")
        house.pump()
        assert house.serving() is None
        assert house.book.notes[-1] == ("left", "acme", "the other end went away with code 0", 1000.0)
        assert not house.gate._settled

    def test_an_agent_that_ends_its_control_stream_serves_no_more(self) -> None:
        house = house_of_acme()
        visitor = house.come()
        assert visitor.control is not None
        visitor.control.transport.loseConnection()
        house.pump()
        assert house.serving() is None


class TestRefusals:
    def test_unknown(self) -> None:
        house = Gatehouse()
        visitor = house.come()
        assert visitor.refusal == "unknown"
        house.pass_time(limits.REFUSAL_LINGER_SECONDS)
        assert visitor.lost_why is not None
        assert house.refusals.counts["agent-unknown"] == 1

    def test_unknown_only_after_a_fresh_look(self) -> None:
        """``agent add`` a moment ago: an Agent that is refused as unknown stays away for minutes."""
        house = Gatehouse()
        house.book.register("acme", digest())
        house.book.late, house.book.snapshot = house.book.snapshot, Gatehouse().book.snapshot
        visitor = house.come()
        assert visitor.welcome is not None
        assert house.book.looks == 1

    def test_one_look_a_visit(self) -> None:
        house = Gatehouse()
        house.come()
        assert house.book.looks == 1

    def test_revoked_is_unknown(self) -> None:
        house = house_of_acme()
        house.book.revoke("acme")
        assert house.come().refusal == "unknown"
        assert ("trouble", "acme", "refused: its key is not registered, or was revoked") in house.book.notes

    def test_restored_serves_again(self) -> None:
        house = house_of_acme()
        house.book.revoke("acme")
        house.come()
        house.book.revoke("acme", False)
        assert house.come().welcome is not None

    def test_retired_is_replaced(self) -> None:
        house = Gatehouse()
        house.book.register("acme", digest(0), digest(1), states=("retired", "active"))
        assert house.come(0).refusal == "replaced"
        assert house.come(1).welcome is not None

    def test_another_version(self) -> None:
        house = house_of_acme()
        assert house.come(protocol=PROTOCOL + 1).refusal == "version"

    def test_another_installation_never_gets_as_far(self) -> None:
        house = house_of_acme()
        visitor = house.come(number=1)
        assert visitor.received == []
        assert house.refusals.counts["agent-handshake"] == 1
        assert visitor.carrier.tls_failure is not None

    def test_a_second_hello_changes_nothing(self) -> None:
        house = house_of_acme()
        visitor = house.come()
        visitor.say_hello()
        house.pump()
        assert len([message for message in visitor.received if isinstance(message, Welcome)]) == 1

    def test_what_is_no_record_ends_it(self) -> None:
        """Row E3."""
        house = house_of_acme()
        visitor = house.come(says_hello=False)
        assert visitor.control is not None
        visitor.control.transport.write(b"\xff\xff")
        house.pass_time(limits.REFUSAL_LINGER_SECONDS)
        assert visitor.lost_why == "the other end went away with code 1"
        assert house.refusals.counts["session"] == 1


class TestRevoke:
    def test_it_cuts_streams_at_once(self) -> None:
        house = house_of_acme()
        visitor = house.come()
        stream = stream_to(house, visitor)
        visitor.vanish()
        house.book.revoke("acme")
        assert issubclass(stream.lost, ConnectionLost)
        assert house.serving() is None

    def test_the_agent_hears_why(self) -> None:
        house = house_of_acme()
        visitor = house.come()
        stream_to(house, visitor)
        house.book.revoke("acme")
        house.pump()
        assert visitor.refusal == "unknown"
        assert visitor.streams[0].lost is ConnectionLost
        house.pass_time(limits.REFUSAL_LINGER_SECONDS)
        assert visitor.lost_why is not None
        assert house.book.notes[-1][:2] == ("left", "acme")

    def test_another_change_disturbs_nobody(self) -> None:
        house = house_of_acme()
        visitor = house.come()
        house.book.register("other", digest(1))
        house.pump()
        assert house.serving() is visitor
        assert visitor.refusal is None

    def test_while_it_waits_for_the_registry(self) -> None:
        house = Gatehouse()
        house.book.register("acme", digest(), states=("pending",))
        house.book.waits = True
        visitor = house.come()
        house.book.revoke("acme")
        house.book.go_on()
        house.pump()
        assert visitor.refusal == "unknown"


class TestNewCopy:
    """A new copy takes over when it is verified."""

    def with_old_and_new(self) -> tuple[Gatehouse, Visitor]:
        house = Gatehouse()
        house.book.register("acme", digest(0), digest(1), states=("active", "pending"))
        return house, house.come(0, "old")

    def test_its_first_connection_retires_the_older_and_disconnects_it(self) -> None:
        house, old = self.with_old_and_new()
        stream = stream_to(house, old)
        new = house.come(1, "new")
        assert new.welcome is not None
        assert house.serving() is new
        assert old.refusal == "replaced"
        assert stream.lost is not None
        house.pass_time(limits.REFUSAL_LINGER_SECONDS)
        assert old.lost_why is not None
        assert house.serving() is new
        assert house.book.snapshot.keys[digest(0)].state == "retired"
        assert not [note for note in house.book.notes if note[0] == "left"], "the agent itself is still here"

    def test_the_older_is_replaced_when_it_comes_back(self) -> None:
        house, _ = self.with_old_and_new()
        house.come(1, "new")
        assert house.come(0, "old").refusal == "replaced"

    def test_it_is_welcomed_after_the_registry_has_taken_it_up_not_before(self) -> None:
        house, old = self.with_old_and_new()
        house.book.waits = True
        new = house.come(1, "new")
        assert new.welcome is None
        assert house.serving() is old
        house.book.go_on()
        house.pump()
        assert new.welcome is not None
        assert old.refusal == "replaced"

    def test_two_programs_with_the_same_pending_key_at_once(self) -> None:
        """The first serves, the second is a duplicate; neither is *replaced*, which would end its program."""
        house = Gatehouse()
        house.book.register("acme", digest(), states=("pending",))
        house.book.waits = True
        first, second = house.come(0, "first"), house.come(0, "second")
        assert len(house.book.waiting) == 2
        house.book.go_on()
        house.pump()
        assert first.welcome is not None
        assert first.refusal is None
        assert second.refusal == "duplicate"
        assert house.serving() is first

    def test_the_registry_fails(self) -> None:
        """The visitor goes unrefused, so that it comes back soon; the older one goes on."""
        house, old = self.with_old_and_new()
        house.book.fails = OSError("disk full")
        new = house.come(1, "new")
        assert new.refusal is None
        assert new.lost_why is not None
        assert house.serving() is old
        house.book.fails = None
        assert house.come(1, "new").welcome is not None

    def test_it_is_gone_before_the_registry_has_taken_it_up(self) -> None:
        house, old = self.with_old_and_new()
        house.book.waits = True
        new = house.come(1, "new")
        new.carrier.abort("changed its mind")
        house.pump()
        house.book.go_on()
        house.pump()
        assert house.serving() is None
        assert old.refusal == "replaced"
        assert house.come(1, "new").welcome is not None

    def test_it_is_ending_when_the_registry_has_taken_it_up(self) -> None:
        house, _ = self.with_old_and_new()
        house.book.waits = True
        new = house.come(1, "new")
        assert new.control is not None
        new.control.transport.loseConnection()
        new.end.stalled = False
        house.clock.advance(0)
        while not new.proxy_end.protocol.closing:
            house.clock.advance(0)
            new.end.move(1 << 20)
            new.proxy_end.move(1 << 20)
        house.book.go_on()
        assert house.serving() is None

    def test_an_older_copy_that_serves_though_the_registry_has_another_active(self) -> None:
        """A registry that was restored from a backup."""
        house = Gatehouse()
        house.book.register("acme", digest(0))
        old = house.come(0, "old")
        house.book.changed = lambda: None
        house.book.register("acme", digest(1))
        new = house.come(1, "new")
        assert new.welcome is not None
        assert old.refusal == "replaced"
        assert house.serving() is new


class TestSameKey:
    def test_the_older_keeps_its_place_if_it_answers(self) -> None:
        house = house_of_acme()
        older = house.come(program="one")
        stream = stream_to(house, older)
        younger = house.come(program="two")
        assert younger.refusal == "duplicate"
        assert house.serving() is older
        assert stream.lost is None

    def test_it_loses_it_after_3_seconds_of_silence(self) -> None:
        house = house_of_acme()
        older = house.come(program="one")
        older.vanish()
        younger = house.come(program="two")
        house.pass_time(limits.URGENT_PING_SECONDS - 0.25)
        assert younger.received[1:] == []
        house.pass_time(0.5)
        assert younger.welcome is not None
        assert house.serving() is younger
        assert house.book.notes[-1] == ("trouble", "acme", "another program with its key came, and it did not answer")

    def test_the_older_is_lost_while_it_is_asked(self) -> None:
        house = house_of_acme()
        older = house.come(program="one")
        older.vanish()
        younger = house.come(program="two")
        older.proxy_end.protocol.abort("reset")
        house.pump()
        assert younger.welcome is not None
        assert house.serving() is younger

    def test_the_same_program_replaces_its_own_ghost_at_once(self) -> None:
        house = house_of_acme()
        ghost = house.come(program="one")
        stream = stream_to(house, ghost)
        ghost.vanish()
        back = house.come(program="one", host="203.0.113.9")
        assert back.welcome is not None
        assert [type(message) for message in back.received] == [Hello, Welcome]
        assert house.serving() is back
        assert stream.lost is not None
        house.pass_time(60, step=1)
        assert house.serving() is back
        assert not [note for note in house.book.notes if note[0] == "left"]

    def test_flapping_leaves_one_that_serves_throughout(self) -> None:
        """Row E1."""
        house = house_of_acme()
        older = house.come(program="one")
        for _ in range(10):
            assert house.come(program="two").refusal == "duplicate"
            house.pass_time(5, step=1)
        assert house.serving() is older
        assert [message for message in older.received if isinstance(message, Refused)] == []

    def test_three_at_once(self) -> None:
        house = house_of_acme()
        older = house.come(program="one")
        older.vanish()
        second, third = house.come(program="two"), house.come(program="three")
        house.pass_time(limits.URGENT_PING_SECONDS + 0.5)
        assert [bool(visitor.welcome) for visitor in (second, third)].count(True) == 1
        assert [visitor.refusal for visitor in (second, third)].count("duplicate") == 1

    def test_the_asked_one_is_revoked_meanwhile(self) -> None:
        house = house_of_acme()
        older = house.come(program="one")
        older.vanish()
        younger = house.come(program="two")
        house.book.revoke("acme")
        house.pass_time(limits.URGENT_PING_SECONDS + 1)
        assert younger.refusal == "unknown"
        assert house.serving() is None

    def test_one_that_is_ending_is_no_rival(self) -> None:
        house = house_of_acme()
        older = house.come(program="one")
        older.vanish()
        older.proxy_end.protocol.end("test")
        assert house.connected.get("acme") is not None
        younger = house.come(program="two")
        assert younger.welcome is not None
        assert house.serving() is younger


@pytest.mark.parametrize("says_hello", [False])
def test_no_hello_in_time(says_hello: bool) -> None:
    house = house_of_acme()
    visitor = house.come(says_hello=says_hello)
    house.pass_time(limits.HANDSHAKE_SECONDS - 0.25)
    assert visitor.lost_why is None
    house.pass_time(0.5)
    assert visitor.lost_why is not None
    assert house.refusals.counts["agent-handshake"] == 1
    assert not house.gate._settled
