"""One that only asks at the gate (``socksfusion-agent doctor``): it hears how its key stands, and nothing changes."""

import pytest

from socksfusion import limits
from socksfusion.registry.schema import KeyState
from socksfusion.wire.control_messages import ASK, Standing
from tests.proxy.gatehouse import Gatehouse, Visitor, digest


def answer(visitor: Visitor) -> Standing | None:
    return next((message for message in visitor.received if isinstance(message, Standing)), None)


def ask(house: Gatehouse, key: int = 0, program: str = "doctor") -> Visitor:
    visitor = house.come(key, program, features=[ASK])
    house.pass_time(limits.REFUSAL_LINGER_SECONDS)
    assert visitor.welcome is None
    assert visitor.lost_why is not None
    return visitor


def test_a_key_that_would_be_let_in() -> None:
    house = Gatehouse()
    house.book.register("acme", digest())
    assert answer(ask(house)) == Standing("acme", pending=False, serving=False)
    assert house.serving() is None
    assert house.book.notes == []


@pytest.mark.parametrize("program", ["first", "doctor"])
def test_the_agent_that_serves_keeps_its_place(program: str) -> None:
    house = Gatehouse()
    house.book.register("acme", digest())
    serving = house.come(0, program)
    assert answer(ask(house)) == Standing("acme", pending=False, serving=True)
    assert house.serving() is serving


def test_one_that_does_not_answer_keeps_it_too() -> None:
    house = Gatehouse()
    house.book.register("acme", digest())
    serving = house.come()
    serving.vanish()
    assert answer(ask(house)) == Standing("acme", pending=False, serving=True)
    house.pass_time(limits.URGENT_PING_SECONDS + 1)
    assert house.serving() is serving


def test_a_new_key_stays_new_and_the_older_copy_serves() -> None:
    house = Gatehouse()
    states: tuple[KeyState, ...] = ("active", "pending")
    house.book.register("acme", digest(0), digest(1), states=states)
    old = house.come(0)
    assert answer(ask(house, 1)) == Standing("acme", pending=True, serving=True)
    assert house.serving() is old
    assert house.book.snapshot.keys[digest(1)].state == "pending"


@pytest.mark.parametrize("why", ["unknown", "replaced"])
def test_a_key_that_would_be_refused(why: str) -> None:
    house = Gatehouse()
    house.book.register("acme", digest(1), digest(0), states=("active", "retired" if why == "replaced" else "active"))
    if why == "unknown":
        house.book.revoke("acme")
    visitor = ask(house)
    assert answer(visitor) is None
    assert visitor.refusal == why
