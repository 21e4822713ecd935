"""agent.live_line: one line that stays at the foot, whatever is written, and that no stopped terminal holds up."""

import os
import termios
from collections.abc import Iterator
from functools import partial
from io import StringIO

import pytest

from socksfusion import posix
from socksfusion.agent.live_line import LiveLine, is_terminal

CLEAR = "\r\x1b[K"


@pytest.fixture
def out() -> StringIO:
    return StringIO()


def test_log_lines_come_above_it(out: StringIO) -> None:
    live = LiveLine(out, lambda: 80)
    live.tell("serving")
    live.write("a log line\n")
    assert out.getvalue() == f"serving{CLEAR}a log line\nserving"


def test_it_waits_for_the_end_of_a_line_that_is_written_in_parts(out: StringIO) -> None:
    live = LiveLine(out, lambda: 80)
    live.tell("serving")
    live.write("half ")
    live.write("a line\n")
    assert out.getvalue() == f"serving{CLEAR}half a line\nserving"


def test_what_goes_another_way_to_the_terminal_comes_above_it_too(out: StringIO) -> None:
    live = LiveLine(out, lambda: 80)
    live.tell("serving")
    live.around(out.write)("Running\n")
    assert out.getvalue() == f"serving{CLEAR}Running\nserving"


def test_it_is_written_anew_where_it_changes_alone(out: StringIO) -> None:
    live = LiveLine(out, lambda: 80)
    for text in ("serving", "serving", "scanning"):
        live.tell(text)
    live.end()
    assert out.getvalue() == f"serving{CLEAR}scanning{CLEAR}"
    live.write("after\n")
    assert out.getvalue().endswith(f"{CLEAR}after\n")


def test_it_never_wraps(out: StringIO) -> None:
    LiveLine(out, lambda: 5).tell("serving")
    assert out.getvalue() == "serv"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: a person's, and the Agent's."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_a_stopped_terminal_does_not_stop_the_agent(terminal: tuple[int, int]) -> None:
    person, there = terminal
    with os.fdopen(os.dup(there), "w") as out:
        live = LiveLine(out, lambda: 80, partial(posix.takes_more, there))
        live.tell("one")
        assert os.read(person, 100) == b"one"
        termios.tcflow(there, termios.TCOOFF)
        lines: list[str] = []
        live.tell("two")
        live.around(lines.append)("Running\n")
        live.tell("three")
        termios.tcflow(there, termios.TCOON)
        live.tell("four")
        assert os.read(person, 100) == b"\r\x1b[Kfour"
        assert lines == ["Running\n"], "which drops it, as it does without a live line"
        termios.tcflow(there, termios.TCOOFF)
        live.end()
        termios.tcflow(there, termios.TCOON)


def test_what_is_no_terminal(monkeypatch: pytest.MonkeyPatch, out: StringIO, terminal: tuple[int, int]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(os.dup(terminal[1]), "w") as there:
        assert is_terminal(there)
        monkeypatch.setenv("TERM", "dumb")
        assert not is_terminal(there)
    assert not is_terminal(there), "closed"
    assert not is_terminal(out)
    assert not is_terminal(None)
