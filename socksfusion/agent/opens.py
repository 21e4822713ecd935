"""Every stream that the Agent serves, from its request to its end: what a pause cuts, and what the record tells."""

from collections.abc import Callable
from typing import Final, Protocol

from twisted.python.failure import Failure

from socksfusion.audit import AuditEntry
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.messages import AssociateRequest, ConnectRequest
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
    """One stream. ``entry`` is filled as the open goes on; ``refuse`` answers it while it has no answer yet."""

    def __init__(self, entry: AuditEntry, stream: StreamTransport, refuse: Callable[[], None]) -> None:
        self.entry = entry
        self.stream = stream
        self.answered = False
        self._refuse = refuse
        self._received = stream.bytes_received
        self._sent = 0

    def answer(self, reply: Reply, detail: str = "", *, early: int = 0) -> None:
        """The reply has been written: bytes count from now on; ``early`` came behind the request."""
        self.answered = True
        self.entry.answer(reply, detail)
        self._received = self.stream.bytes_received - early
        self._sent = self.stream.bytes_sent

    def count(self) -> None:
        """Note the bytes so far: of a connection or association, the others have none."""
        if self.entry.reply == Reply.SUCCEEDED:
            self.entry.to_target = self.stream.bytes_received - self._received
            self.entry.to_client = self.stream.bytes_sent - self._sent

    def cut(self) -> None:
        """End it now: with a reset where it was answered, else with the answer that the Agent is paused."""
        if self.answered:
            self.stream.abortConnection()
        else:
            self._refuse()


class Opens:
    """The streams that are open. ``record(entry)`` is called at the end of each; ``seconds`` is a monotonic clock."""

    def __init__(
        self,
        seconds: Callable[[], float],
        *,
        record: Callable[[AuditEntry], object] = lambda entry: None,
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
        connect = isinstance(request, ConnectRequest)
        entry = AuditEntry(
            "agent",
            "connect" if connect else "associate",
            id=request.id,
            scan=request.scan,
            client=request.client,
            host=request.host if isinstance(request, ConnectRequest) else "",
            port=request.port if isinstance(request, ConnectRequest) else 0,
        )
        begun = self._seconds()
        opened = self._open[stream] = Open(entry, stream, refuse)

        def lost(reason: Failure) -> None:
            self._open.pop(stream, None)
            opened.count()
            entry.seconds = self._seconds() - begun
            self._record(entry)

        stream.when_lost(lost)
        return opened

    def cut_all(self) -> int:
        """End every stream; how many there were."""
        opens = list(self._open.values())
        for opened in opens:
            opened.cut()
        return len(opens)
