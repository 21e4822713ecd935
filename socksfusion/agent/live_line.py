"""One line at the foot of a terminal that tells what goes on, and everything else written above it."""

import os
import shutil
from collections.abc import Callable
from typing import TextIO

_CLEAR = "\r\x1b[K"


class LiveLine:
    """Stands for ``out``, standard error on a terminal, and keeps ``text`` under whatever is written.

    Everything that goes to the same terminal has to come through here: what is written to ``out`` by :meth:`write`,
    and what goes elsewhere by :meth:`around`. While ``takes_more`` says no, the terminal is stopped (Ctrl-S), and the
    line stays as it is: to write it would stop the Agent too.
    """

    def __init__(
        self, out: TextIO, width: Callable[[], int] | None = None, takes_more: Callable[[], bool] = lambda: True
    ) -> None:
        self._out = out
        self._takes_more = takes_more
        self._width = width or (lambda: shutil.get_terminal_size().columns)
        self._text = ""
        self._shown = False
        self._line_open = False

    def write(self, text: str) -> int:
        """Write log lines above the live line."""
        self._hide()
        self._out.write(text)
        self._line_open = not text.endswith("\n")
        self._show()
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
        self._out.flush()

    def around(self, write: Callable[[str], object]) -> Callable[[str], object]:
        """``write``, another way to the same terminal, with the live line out of its way."""

        def written(line: str) -> None:
            if not self._takes_more():
                write(line)
                return
            self._hide()
            self._out.flush()
            write(line)
            self._show()

        return written

    def tell(self, text: str) -> None:
        """Replace the live line."""
        if (text != self._text or not self._shown) and self._takes_more():
            self._text = text
            self._hide()
            self._show()

    def end(self) -> None:
        """Take it away."""
        self._text = ""
        if self._takes_more():
            self._hide()
            self._out.flush()

    def _hide(self) -> None:
        if self._shown:
            self._out.write(_CLEAR)
            self._shown = False

    def _show(self) -> None:
        if self._text and not self._line_open:
            # one that wraps could not be cleared
            self._out.write(self._text[: max(0, self._width() - 1)])
            self._shown = True
        self._out.flush()


def is_terminal(out: TextIO | None) -> bool:
    """Whether a person who reads ``out`` sees a terminal that can clear a line."""
    try:
        return out is not None and out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:
        return False  # closed
