"""Changes that the registry has yet to be told, in their order; while it can't be written they do not pile up."""

from collections import deque
from operator import attrgetter
from typing import Any, Final, NamedTuple

from socksfusion import limits
from socksfusion.registry.database import RefusedChange
from socksfusion.registry.store import Registry

_BEGIN_GAPS: Final = "scans.begin_gaps"
_END_GAPS: Final = "scans.end_gaps"
_LAST_COUNTS: Final = frozenset(("set_paused", "set_uninstalled", "scans.set_port_trouble"))
"""Of these, of one agent or scan, only the last one counts."""


class Change(NamedTuple):
    """A call of the registry's whose place among the others matters: a gap belongs to a scan that is there."""

    method: str
    arguments: tuple[Any, ...]


class Unwritten:
    """The queue.

    Above ``limits.CHANGES_UNWRITTEN`` an admin's word replaces the one before it, and the gaps of a scan become one
    that goes from the first's begin to the last's end: an agent that comes and goes while the registry fails must not
    fill the memory. The scan's record then says less than is true, never more.
    """

    def __init__(self) -> None:
        self._changes: deque[Change] = deque()

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, method: str, *arguments: Any) -> None:
        """Call ``method`` of the registry with ``arguments``."""
        if self._too_many() and method in _LAST_COUNTS:
            self._forget_word(method, arguments[0])
        self._changes.append(Change(method, arguments))

    def gap_began(self, scan_id: str, at: float) -> None:
        """The agent of a scan has no carrier from ``at`` on."""
        if not (self._too_many() and self._forget_end(scan_id)):
            self._gap(_BEGIN_GAPS, scan_id, at)

    def gap_ended(self, scan_id: str, at: float) -> None:
        """It has one again, or the scan is over."""
        self._gap(_END_GAPS, scan_id, at)

    def take(self) -> deque[Change]:
        """What is there, for one turn of the registry's thread; it is here no more."""
        turn, self._changes = self._changes, deque()
        return turn

    def put_back(self, turn: deque[Change]) -> None:
        """What could not be written of a turn goes before what has come since."""
        self._changes = turn + self._changes

    def _too_many(self) -> bool:
        return len(self._changes) >= limits.CHANGES_UNWRITTEN

    def _gap(self, method: str, scan_id: str, at: float) -> None:
        """One batch for all that follow each other and are of one kind."""
        if self._changes and self._changes[-1].method == method and scan_id not in self._changes[-1].arguments[0]:
            self._changes[-1].arguments[0][scan_id] = at
        else:
            self._changes.append(Change(method, ({scan_id: at},)))

    def _forget_word(self, method: str, of: str) -> None:
        for change in self._changes:
            if change.method == method and change.arguments[0] == of:
                self._changes.remove(change)
                return

    def _forget_end(self, scan_id: str) -> bool:
        """Whether the last gap of a scan waits here with its end, which is forgotten: the gap goes on."""
        for change in reversed(self._changes):
            if change.method == _END_GAPS and scan_id in change.arguments[0]:
                del change.arguments[0][scan_id]
                if not change.arguments[0]:
                    self._changes.remove(change)
                return True
        return False


def write_in_order(registry: Registry, turn: deque[Change], refused: list[RefusedChange]) -> None:
    """In the registry's thread: takes out of ``turn`` what is done; what failed and all behind it stays there."""
    while turn:
        method, arguments = turn[0]
        try:
            attrgetter(method)(registry)(*arguments)
        except RefusedChange as why:
            refused.append(why)
        turn.popleft()
