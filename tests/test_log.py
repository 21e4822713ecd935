"""Text from outside made harmless, and loggers that reach Twisted's log."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from zope.interface import implementer

from socksfusion import limits
from socksfusion.log import make_logger, printable

_log = make_logger()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ~ text", "plain ~ text"),
        ("line\nfeed\ttab\x00", "line\\x0afeed\\x09tab\\x00"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x7f", "\\x7f"),
        ("back\\slash", "back\\\\slash"),
        ("\\x0a", "\\\\x0a"),
        ("ü", "\\xc3\\xbc"),
        ("\ud800", "\\xed\\xa0\\x80"),
        (b"\xff\xfebytes", "\\xff\\xfebytes"),
        ("", ""),
    ],
)
def test_printable(text: str | bytes, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_too_long_is_cut_and_says_so() -> None:
    assert printable("x" * 300) == "x" * (limits.LOGGED_TEXT_CHARACTERS - 3) + "..."
    assert printable("\n" * 300, 20) == "\\x0a" * 4 + "\\..."
    assert printable("x" * 20, 20) == "x" * 20


@given(st.one_of(st.text(), st.binary()), st.integers(4, 40))
def test_always_short_ascii_on_one_line(text: str | bytes, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert all(0x20 <= ord(character) <= 0x7E for character in shown)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_different_bytes_are_shown_differently(one: bytes, other: bytes) -> None:
    assert (printable(one, 1000) == printable(other, 1000)) is (one == other)


def test_a_logger_is_named_after_its_module_and_writes_without_start_logging() -> None:
    events: list[Any] = []

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        events.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        _log.info("{what} happened", what="it")
    finally:
        globalLogPublisher.removeObserver(observe)
    assert [formatEvent(event) for event in events] == ["it happened"]
    assert events[0]["log_namespace"] == __name__
