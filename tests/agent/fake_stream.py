"""A stream without a carrier, as the Agent's protocol sees it."""

from collections.abc import Callable
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from socksfusion.tunnel.stream import StreamAddress
from socksfusion.wire.messages import HeadReader, Received
from socksfusion.wire.requests import ConnectReply


class FakeStream(StringTransport):
    """What a protocol sees of a stream; ``received`` is what was written to it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.protocol: Any = None
        self.aborted = False
        self.reset_in_order = False
        self.queued = 0
        self.bytes_received = 0
        self.user = ""
        self.watchers: list[Callable[[Any, Failure], None]] = []

    def belong_to(self, user: str) -> None:
        self.user = user

    def when_lost(self, watcher: Callable[[Any, Failure], None]) -> None:
        self.watchers.append(watcher)

    @property
    def bytes_sent(self) -> int:
        return len(self.sent())

    def getPeer(self) -> StreamAddress:
        return StreamAddress("198.51.100.1:443", 3)

    def abortConnection(self) -> None:
        self.aborted = True

    def reset_after_data(self) -> None:
        self.reset_in_order = True

    def put_back(self, data: bytes, *, ended: bool = False) -> None:
        if data:
            self.protocol.dataReceived(data)
        if ended:
            self.protocol.readConnectionLost()

    def sent(self) -> bytes:
        return bytes(self.value())  # type: ignore[no-untyped-call]

    def reply(self) -> ConnectReply:
        message, rest = self.head()
        assert isinstance(message, ConnectReply)
        assert rest == b""
        return message

    def head(self) -> tuple[Received, bytes]:
        head = HeadReader().receive_data(self.sent())
        assert head is not None
        return head
