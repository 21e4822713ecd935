"""What one scan has found, as it happens: counted in memory, taken from here in batches."""

import ipaddress
from collections.abc import Callable
from typing import Literal

from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.proxy.access import Access
from socksfusion.registry.schema import Scan, ScanNotes, Untested
from socksfusion.tunnel.stream import CarrierLost, StreamTransport
from socksfusion.wire.socks5 import Reply


class _Counted:
    """One open stream: whose it is (an association is no single target's: ``host`` is empty), and how far its bytes
    have been counted."""

    __slots__ = ("host", "port", "received", "sent")

    def __init__(self, host: str, port: int, sent: int, received: int) -> None:
        self.host = host
        self.port = port
        self.sent = sent
        self.received = received


class ScanRecord:
    """Driven by two kinds of sources: the router, which tells how each open ended, and the ends of the streams.

    Nothing is counted a byte or a frame: streams count their bytes, and :meth:`take` and their ends ask them.
    ``wall`` gives Unix seconds. ``noted(record)`` is called whenever there is something to take.
    """

    def __init__(self, scan: Scan, wall: Callable[[], float], noted: "Callable[[ScanRecord], None]") -> None:
        self.scan = scan
        self._wall = wall
        self._noted = noted
        self._open: dict[StreamTransport, _Counted] = {}
        self._known_sources: set[str] = set()
        self._results: dict[int, int] = {}
        self._streams = self._to_target = self._to_client = 0
        self._sources: set[str] = set()
        self._untested: list[Untested] = []

    @property
    def open_streams(self) -> int:
        """Streams to Targets that are open now, and associations."""
        return len(self._open)

    # -- what happens ------------------------------------------------------------------------------------------------

    def result(self, access: Access, host: str, port: int, reply: Reply, detail: str) -> None:
        """An open by ``access`` has ended in ``reply``; 0x01 leaves its target untested, and ``detail`` says why."""
        self._results[reply] = self._results.get(reply, 0) + 1
        if reply == Reply.GENERAL_FAILURE:
            self._leave_untested(host, port, "not tested", detail)
        self._noted(self)

    def not_tested(self, host: str, port: int, why: str) -> None:
        """An open has ended without a reply: its Client did not wait for it."""
        self._leave_untested(host, port, "not tested", why)
        self._noted(self)

    def stream_opened(self, host: str, port: int, stream: StreamTransport, source: str, early: int = 0) -> None:
        """An open has a stream, whose bytes count from now on.

        ``source`` is the Agent's own address on its connection (empty where it told none). ``early`` bytes of the
        Target's came with the Agent's reply and count too.
        """
        self._open[stream] = _Counted(host, port, stream.bytes_sent, stream.bytes_received - early)
        self._streams += 1
        if source not in self._known_sources:
            self._learn(source)
        self._noted(self)
        stream.when_lost(self._stream_lost)

    def associated(self, stream: StreamTransport) -> None:
        """An association has its stream, whose bytes count from now on; ``result`` tells of its targets."""
        self._open[stream] = _Counted("", 0, stream.bytes_sent, stream.bytes_received)
        self._noted(self)
        stream.when_lost(self._stream_lost)

    def abort_streams(self) -> None:
        """Reset every open stream, now."""
        for stream in list(self._open):
            stream.abortConnection()

    def _learn(self, source: str) -> None:
        # what an Agent tells of itself: kept where it is an address, and not without end
        if len(self._known_sources) >= limits.SOURCES_PER_SCAN:
            return
        self._known_sources.add(source)
        try:
            self._sources.add(str(ipaddress.ip_address(source)))
        except ValueError:
            pass

    def _stream_lost(self, stream: StreamTransport, reason: Failure) -> None:
        counted = self._open.pop(stream)
        self._count(stream, counted)
        if counted.host and isinstance(reason.value, CarrierLost):
            self._leave_untested(counted.host, counted.port, "cut", str(reason.value.args[0]))
        self._noted(self)

    def _leave_untested(self, host: str, port: int, what: Literal["cut", "not tested"], why: str) -> None:
        if len(self._untested) < limits.UNTESTED_PER_SCAN:
            self._untested.append(Untested(self.scan.id, self._wall(), host, port, what, why))

    def _count(self, stream: StreamTransport, counted: _Counted) -> None:
        sent, received = stream.bytes_sent, stream.bytes_received
        self._to_target += sent - counted.sent
        self._to_client += received - counted.received
        counted.sent, counted.received = sent, received

    # -- what is taken -----------------------------------------------------------------------------------------------

    def take(self) -> tuple[ScanNotes | None, list[Untested]]:
        """What has happened since it was last taken: notes (None where there are none), and untested targets."""
        for stream, counted in self._open.items():
            self._count(stream, counted)
        notes = ScanNotes(self._streams, self._to_target, self._to_client, self._results, frozenset(self._sources))
        untested, self._untested = self._untested, []
        self._results = {}
        self._streams = self._to_target = self._to_client = 0
        self._sources = set()
        return (notes if notes != ScanNotes() else None), untested
