"""The three tables of a stream's life, enumerated whole: every state with every input."""

from itertools import product

import pytest

from socksfusion.wire.yamux.states import (
    OPENING,
    RECEIVING,
    SENDING,
    Effect,
    Opening,
    OpeningInput,
    Receiving,
    ReceivingInput,
    Sending,
    SendingInput,
)

# What may be absent: an input that our own side never causes there, or a fault of the peer's.
IMPOSSIBLE_OPENING = {
    (Opening.QUEUED, OpeningInput.ACK),
    (Opening.QUEUED, OpeningInput.OTHER),
    (Opening.SYN_SENT, OpeningInput.SYN_GONE),
    (Opening.ANSWERED, OpeningInput.SYN_GONE),
    (Opening.ANSWERED, OpeningInput.ACK),
}
IMPOSSIBLE_SENDING = {(Sending.ENDED, SendingInput.FLUSHED)}
FAULTS_RECEIVING = {(Receiving.ENDED, ReceivingInput.DATA), (Receiving.ENDED, ReceivingInput.FIN)}


@pytest.mark.parametrize(
    ("table", "states", "inputs", "absent"),
    [
        (OPENING, Opening, OpeningInput, IMPOSSIBLE_OPENING),
        (SENDING, Sending, SendingInput, IMPOSSIBLE_SENDING),
        (RECEIVING, Receiving, ReceivingInput, FAULTS_RECEIVING),
    ],
    ids=["opening", "sending", "receiving"],
)
def test_every_state_with_every_input(table: dict, states: type, inputs: type, absent: set) -> None:
    assert set(product(states, inputs)) == set(table) | absent
    assert not set(table) & absent
    for effect, following in table.values():
        assert isinstance(effect, Effect)
        assert isinstance(following, states)


@pytest.mark.parametrize("state", Sending)
def test_a_reset_ends_our_direction_and_drops_what_is_queued(state: Sending) -> None:
    assert SENDING[state, SendingInput.RESET] == (Effect.CLEAR, Sending.ENDED)


@pytest.mark.parametrize("state", Receiving)
def test_a_reset_ends_the_peers_direction(state: Receiving) -> None:
    assert RECEIVING[state, ReceivingInput.RESET][1] is Receiving.ENDED


@pytest.mark.parametrize("state", [state for state in Sending if state is not Sending.OPEN])
def test_nothing_is_queued_after_the_end(state: Sending) -> None:
    assert SENDING[state, SendingInput.SEND] == (Effect.NOTHING, state)


def test_an_end_never_comes_back() -> None:
    assert {following for (state, _), (_, following) in SENDING.items() if state is Sending.ENDED} == {Sending.ENDED}
    assert {following for (state, _), (_, following) in RECEIVING.items() if state is Receiving.ENDED} == {
        Receiving.ENDED
    }


def test_fin_and_rst_come_only_when_flushed() -> None:
    causes = {(state, happened) for (state, happened), (effect, _) in SENDING.items() if effect is Effect.FIN}
    assert causes == {(Sending.ENDING, SendingInput.FLUSHED)}
    causes = {(state, happened) for (state, happened), (effect, _) in SENDING.items() if effect is Effect.RST}
    assert causes == {(Sending.RESETTING, SendingInput.FLUSHED), (Sending.ENDED, SendingInput.RESET_AFTER_DATA)}


def test_every_state_can_be_reached() -> None:
    for table, start in ((OPENING, Opening.QUEUED), (SENDING, Sending.OPEN), (RECEIVING, Receiving.OPEN)):
        reached = {start}
        while True:
            more = {following for (state, _), (_, following) in table.items() if state in reached} - reached
            if not more:
                break
            reached |= more
        assert reached == set(type(start))
