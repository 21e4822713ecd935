"""The Proxy's record of what its Clients asked for: an entry for each open, at its end."""

from collections.abc import Callable

from twisted.python.failure import Failure

from socksfusion.audit import AuditEntry
from socksfusion.proxy.opening import Opened
from socksfusion.tunnel.stream import StreamTransport


class Trail:
    """Fills entries and hands them to ``record``; ``seconds`` is a monotonic clock."""

    def __init__(self, seconds: Callable[[], float], record: Callable[[AuditEntry], object]) -> None:
        self._seconds = seconds
        self._record = record

    def begin(self, target: tuple[str, int] | None, peer: str, request: str) -> "Footprint":
        """A Client asks for ``target`` (None: datagrams), by the request of that id."""
        host, port = target or ("", 0)
        kind = "associate" if target is None else "connect"
        entry = AuditEntry("proxy", kind, id=request, peer=peer, host=host, port=port)  # type: ignore[arg-type]
        return Footprint(entry, self._seconds, self._record)


class Footprint:
    """One open's entry until it is recorded."""

    def __init__(self, entry: AuditEntry, seconds: Callable[[], float], record: Callable[[AuditEntry], object]) -> None:
        self.entry = entry
        self._seconds = seconds
        self._record = record
        self._begun = seconds()

    def belongs(self, agent: str, client: str | None, scan: str | None) -> None:
        """Whose it is, as far as that is known."""
        self.entry.agent, self.entry.client, self.entry.scan = agent, client or "", scan or ""

    def answered(self, opened: Opened) -> None:
        """The open has ended so; with a stream, its end is awaited."""
        self.entry.answer(opened.reply, opened.detail)
        stream = opened.stream
        if stream is None:
            self.end()
            return
        sent, received = stream.bytes_sent, stream.bytes_received - opened.early

        def lost(stream: StreamTransport, _reason: Failure) -> None:
            self.entry.to_target, self.entry.to_client = stream.bytes_sent - sent, stream.bytes_received - received
            self.end()

        stream.when_lost(lost)

    def end(self) -> None:
        """Record it."""
        self.entry.seconds = self._seconds() - self._begun
        self._record(self.entry)
