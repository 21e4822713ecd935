"""What scans are read from and written to."""

from collections.abc import Callable
from typing import Protocol

from socksfusion.registry.schema import Scan, ScanNotes, Snapshot, Untested, WhyEnded


class ScanBook(Protocol):
    """The book as ``proxy.scans.Scans`` sees it (``proxy.book.Book``), which waits for nothing. Times: Unix seconds."""

    before_writing: list[Callable[[], None]]
    """Called before each batch: what there is to note by then is noted."""

    @property
    def snapshot(self) -> Snapshot:
        """The registry as last seen."""

    @property
    def all_changes_written(self) -> bool:
        """Whether the snapshot shows every begin and end of a scan that was told."""

    def scan_started(self, scan: Scan) -> None:
        """An implicit scan has begun."""

    def scans_touched(self, scans: dict[str, float]) -> None:
        """Scan ids to when a stream was last open."""

    def scan_ended(self, scan_id: str, ended: float, why: WhyEnded) -> None:
        """A scan is over."""

    def scan_noted(self, scan_id: str, notes: ScanNotes) -> None:
        """What a scan has done since it was last noted."""

    def scan_left_untested(self, targets: list[Untested]) -> None:
        """What scans could not try, or not to its end."""

    def gap_began(self, scan_id: str, at: float) -> None:
        """The agent of a running scan has no carrier from ``at`` on; changes nothing where that is known."""

    def gap_ended(self, scan_id: str, at: float) -> None:
        """It has one again, or the scan is over."""
