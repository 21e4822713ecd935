"""Neighbouring pieces of one stream become one event, and nothing changes its place."""

from itertools import pairwise
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from socksfusion.wire.yamux.events import DataReceived, Event, StreamEnded
from socksfusion.wire.yamux.joining import join_data
from socksfusion.wire.yamux.stream import Stream

ONE, TWO = (cast(Stream, object()) for _ in range(2))


def data(stream: Stream, *pieces: bytes) -> list[Event]:
    return [DataReceived(stream, piece) for piece in pieces]


def test_a_run_becomes_one() -> None:
    assert join_data(data(ONE, b"a", b"b", b"c")) == data(ONE, b"abc")


def test_another_stream_begins_a_run_of_its_own() -> None:
    events = [*data(ONE, b"a", b"b"), *data(TWO, b"c"), *data(ONE, b"d", b"e")]
    assert join_data(events) == [*data(ONE, b"ab"), *data(TWO, b"c"), *data(ONE, b"de")]


def test_an_end_stays_behind_its_data() -> None:
    events = [*data(ONE, b"a", b"b"), StreamEnded(ONE), *data(TWO, b"c", b"d")]
    assert join_data(events) == [*data(ONE, b"ab"), StreamEnded(ONE), *data(TWO, b"cd")]


def test_a_single_piece_is_not_copied() -> None:
    events = [*data(ONE, b"a"), StreamEnded(ONE)]
    assert join_data(events)[0] is events[0]


@given(st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.none() | st.binary(min_size=1, max_size=3)), max_size=20))
def test_what_each_stream_hears_is_the_same(script: list[tuple[Stream, bytes | None]]) -> None:
    events: list[Any] = [
        StreamEnded(stream) if piece is None else DataReceived(stream, piece) for stream, piece in script
    ]

    def heard(events: list[Any]) -> list[tuple[int, object]]:
        """In order, byte by byte."""
        return [
            (id(event.stream), each)
            for event in events
            for each in (event.data if isinstance(event, DataReceived) else ["end"])
        ]

    joined = join_data(events)
    assert heard(joined) == heard(events)
    kinds = [(type(event), id(event.stream)) for event in joined]
    assert not any(a == b and a[0] is DataReceived for a, b in pairwise(kinds))
