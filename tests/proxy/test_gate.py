"""The gate: who is welcome and who is refused, with real carriers and one Clock."""

from twisted.internet.error import ConnectionLost

from socksfusion import limits
from socksfusion.proxy.visit import REFUSAL_TEXTS
from socksfusion.tunnel.stream import CarrierLost
from socksfusion.wire.control_messages import PROTOCOL, Hello, Running, Welcome
from tests.proxy.gatehouse import Gatehouse, Visitor, digest
from tests.tunnel.pair import HalfCloseable, logged_failures
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
        assert house.book.notes[-1] == ("left", "acme", None, 1000.0), "no error"
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
        assert ("trouble", "acme", f"refused: {REFUSAL_TEXTS['unknown']}") in house.book.notes

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
        left, name, error, _ = house.book.notes[-1]
        assert (left, name) == ("left", "acme")
        assert error == f"refused: {REFUSAL_TEXTS['unknown']}", "though it goes away in order then"

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


def test_no_hello_in_time() -> None:
    house = house_of_acme()
    visitor = house.come(says_hello=False)
    house.pass_time(limits.HANDSHAKE_SECONDS - 0.25)
    assert visitor.lost_why is None
    house.pass_time(0.5)
    assert visitor.lost_why is not None
    assert house.refusals.counts["agent-handshake"] == 1
    assert not house.gate._settled


class TestStrayExceptions:
    """Row J3."""

    def test_one_that_comes_after_a_look_ends_this_visit_only(self) -> None:
        house = house_of_acme()
        house.book.late, house.book.snapshot = house.book.snapshot, Gatehouse().book.snapshot

        def raises(_visit: object) -> None:
            raise ValueError("a test's")

        house.connected.arrived.append(raises)
        with logged_failures() as failures:
            visitor = house.come()
        assert [failure.type for failure in failures] == [ValueError]
        assert visitor.lost_why is not None
        assert house.serving() is None
        house.connected.arrived.remove(raises)
        assert house.come().welcome is not None


class TestStopping:
    def stopped(self, house: Gatehouse) -> list[None]:
        fired: list[None] = []
        house.gate.stopService().addCallback(fired.append)
        return fired

    def test_with_nobody_there(self) -> None:
        assert self.stopped(Gatehouse()) == [None]

    def test_everybody_is_told_and_waited_for(self) -> None:
        """Who serves, and who has not said hello."""
        house = house_of_acme()
        serving, silent = house.come(), house.come(1, says_hello=False)
        stream = stream_to(house, serving)
        fired = self.stopped(house)
        assert fired == []
        house.pump()
        assert fired == [None]
        assert serving.lost_why == silent.lost_why == "the other end left in order"
        assert stream.lost is CarrierLost
        assert house.book.notes[-1] == ("left", "acme", None, 1000.0), "no error"

    def test_one_that_takes_nothing_holds_it_up_for_5_seconds(self) -> None:
        house = house_of_acme()
        house.come().vanish()
        fired = self.stopped(house)
        house.pass_time(limits.SESSION_CLOSE_SECONDS - 0.25)
        assert fired == []
        house.pass_time(0.25)
        assert fired == [None]
