"""Two copies of one Agent at the gate: a new one takes over, and of two with the same key one serves."""

from socksfusion import limits
from socksfusion.wire.control_messages import Hello, Refused, Welcome
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
