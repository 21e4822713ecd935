"""Every stream that the Agent serves, from its request to its end: what a pause cuts, and what the record tells."""

from collections.abc import Callable
from typing import Final, Protocol

from twisted.python.failure import Failure

from socksfusion.audit import AuditEntry
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.requests import AssociateRequest, ConnectRequest
from socksfusion.wire.socks5 import Reply


class PausedBy(Protocol):
    """The admin's switch, asked at every open."""

    @property
    def paused(self) -> bool:
        """Whether nothing may be opened now."""


class _NeverPaused:
    paused = False


NEVER_PAUSED: Final = _NeverPaused()
"""Stands in for the switch where there is none."""


class Open:
    """One stream. ``refuse`` answers it while it has no answer yet, and is let go with all that hangs on it after that.

    ``entry`` is filled as the open goes on; None where there is no record.
    """

    __slots__ = ("_begun", "_entry", "_received", "_refuse", "_sent", "_stream", "stands")

    def __init__(
        self, stream: StreamTransport, refuse: Callable[[], None], entry: AuditEntry | None, begun: float
    ) -> None:
        self._stream = stream
        self._refuse: Callable[[], None] | None = refuse
        self._entry = entry
        self._begun = begun
        self._received = stream.bytes_received
        self._sent = 0
        self.stands = False
        """Whether it was answered with a connection or an association."""

    @property
    def answered(self) -> bool:
        """Whether its reply has been written."""
        return self._refuse is None

    def decided(self, rule: str) -> None:
        """``rule`` says what becomes of it."""
        if self._entry is not None:
            self._entry.rule = rule

    def dialled(self, address: str) -> None:
        """``address`` is the Target's that took the connection."""
        if self._entry is not None:
            self._entry.dialled = address

    def answer(self, reply: Reply, detail: str = "", *, early: int = 0) -> None:
        """The reply has been written: bytes count from now on; ``early`` came behind the request."""
        self._refuse = None
        self.stands = reply is Reply.SUCCEEDED
        if self._entry is not None:
            self._entry.answer(reply, detail)
        self._received = self._stream.bytes_received - early
        self._sent = self._stream.bytes_sent

    def ended(self, now: float) -> AuditEntry | None:
        """Its stream is gone: the entry, whole."""
        self._refuse = None
        entry = self._entry
        if entry is not None:
            if entry.reply == Reply.SUCCEEDED:
                # of a connection or association, the others have none
                entry.to_target = self._stream.bytes_received - self._received
                entry.to_client = self._stream.bytes_sent - self._sent
            entry.seconds = now - self._begun
        return entry

    def cut(self) -> None:
        """End it now: with a reset where it was answered, else with the answer that the Agent is paused."""
        if self._refuse is None:
            self._stream.abortConnection()
        else:
            self._refuse()


class Opens:
    """The streams that are open. ``seconds`` is a monotonic clock.

    ``record(entry)`` is called at the end of each; None: there is no record.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        *,
        record: Callable[[AuditEntry], object] | None = None,
        switch: PausedBy = NEVER_PAUSED,
    ) -> None:
        self.switch = switch
        self._seconds = seconds
        self._record = record
        self._open: dict[StreamTransport, Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(
        self, request: ConnectRequest | AssociateRequest, stream: StreamTransport, refuse: Callable[[], None]
    ) -> Open:
        """A request came in on ``stream``; ``refuse`` is to answer it as paused, if it is still to be answered."""
        entry = _entry(request) if self._record is not None else None
        opened = self._open[stream] = Open(stream, refuse, entry, self._seconds())
        stream.when_lost(self._stream_lost)
        return opened

    def cut_all(self) -> int:
        """End every stream; how many there were."""
        opens = list(self._open.values())
        for opened in opens:
            opened.cut()
        return len(opens)

    def reset_standing(self) -> int:
        """Reset every connection and association that stands; how many there were. What is under way goes on."""
        standing = [opened for opened in self._open.values() if opened.stands]
        for opened in standing:
            opened.cut()
        return len(standing)

    def _stream_lost(self, stream: StreamTransport, _reason: Failure) -> None:
        entry = self._open.pop(stream).ended(self._seconds())
        if self._record is not None and entry is not None:
            self._record(entry)


def _entry(request: ConnectRequest | AssociateRequest) -> AuditEntry:
    connect = isinstance(request, ConnectRequest)
    return AuditEntry(
        "agent",
        "connect" if connect else "associate",
        id=request.id,
        scan=request.scan,
        client=request.client,
        host=request.host if isinstance(request, ConnectRequest) else "",
        port=request.port if isinstance(request, ConnectRequest) else 0,
    )
