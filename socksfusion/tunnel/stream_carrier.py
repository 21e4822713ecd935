"""What a stream asks of the carrier under it."""

from typing import Any, Protocol


class StreamCarrier(Protocol):
    """The carrier (``tunnel.carrier.Carrier``) as each direction of a stream sees it."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def flush_soon(self) -> None:
        """Send what the session has to send, in this turn of the reactor or the next."""

    def call_soon(self, function: Any, *arguments: Any) -> None:
        """Call ``function`` in the reactor's next turn."""
