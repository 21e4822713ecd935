"""proxy.deadlines: one timer for many."""

from twisted.internet.task import Clock

from socksfusion.proxy.deadlines import Deadlines


def test_each_member_expires_after_the_span_and_only_then() -> None:
    clock, gone = Clock(), list[str]()
    deadlines = Deadlines(clock, 10.0, gone.append)
    deadlines.add("first")
    clock.advance(4)
    deadlines.add("second")
    clock.advance(5.9)
    assert gone == []
    clock.advance(0.1)
    assert gone == ["first"]
    clock.advance(3.9)
    assert gone == ["first"]
    clock.advance(0.1)
    assert gone == ["first", "second"]
    assert len(deadlines) == 0


def test_a_discarded_member_does_not_expire_and_another_may_be_discarded_twice() -> None:
    clock, gone = Clock(), list[str]()
    deadlines = Deadlines(clock, 10.0, gone.append)
    deadlines.add("first")
    deadlines.add("second")
    deadlines.discard("first")
    deadlines.discard("first")
    clock.advance(10)
    assert gone == ["second"]


def test_a_thousand_members_need_one_timer_and_none_when_they_are_gone() -> None:
    clock = Clock()
    deadlines = Deadlines[int](clock, 10.0, lambda member: None)
    for member in range(1000):
        deadlines.add(member)
        clock.advance(0.001)
        assert len(clock.getDelayedCalls()) == 1
    for member in range(1000):
        deadlines.discard(member)
    clock.pump([10.0])
    assert clock.getDelayedCalls() == []


def test_the_oldest_goes_first() -> None:
    clock, gone = Clock(), list[str]()
    deadlines = Deadlines(clock, 10.0, gone.append)
    for member in ("first", "second", "third"):
        deadlines.add(member)
    deadlines.discard("first")
    assert deadlines.pop_oldest() == "second"
    clock.advance(10)
    assert gone == ["third"]


def test_expiring_may_discard_the_others() -> None:
    clock, gone = Clock(), list[str]()

    def expire(member: str) -> None:
        gone.append(member)
        deadlines.discard("second")

    deadlines = Deadlines(clock, 10.0, expire)
    deadlines.add("first")
    deadlines.add("second")
    clock.advance(10)
    assert gone == ["first"]
