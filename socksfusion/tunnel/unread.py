"""Read what a socket still holds when it is reset: those bytes came before the reset.

A reactor that watches a socket for writing hears of a reset at once and closes the socket, with all that was not read
yet (reading was paused, or one read does not take everything). Here the end waits: what was to be written is dropped,
and reading goes on, at the pace of whoever pauses it, up to the last byte.

And a loss stays one: Twisted shuts a socket down before it closes it, also when the reactor ends in the middle of a
transfer, and the other end would take that FIN for the end of the data.
"""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet import error
from twisted.internet.abstract import FileDescriptor
from twisted.python.failure import Failure

from socksfusion import posix

_OUR_OWN = (error.ConnectionDone, error.ConnectionAborted)


def unread_bytes(transport: Any) -> int:
    """Bytes in the kernel's receive queue of a socket (FIONREAD)."""
    return posix.unread_bytes(transport, transport.getHandle())


class Consumer(Protocol):
    """Who takes what a transport reads."""

    @property
    def takes_nothing(self) -> bool:
        """Whether it wants nothing at the moment."""


def read_before_reset(transport: Any, consumer: Consumer) -> None:
    """Have ``transport`` tell its protocol that it was reset only after all that it received was read.

    Where ``consumer`` takes nothing, who calls ``resumeProducing`` later has reading go on. An end of our own (close,
    abort) waits for nothing. A transport that is no socket of the reactor's is left as it is.
    """
    if isinstance(transport, FileDescriptor):
        _PatientEnd(transport, consumer).stand_in()


class _PatientEnd:
    """Stands before ``connectionLost`` of one transport, until that was called for good."""

    __slots__ = ("_consumer", "_lost", "_reason", "_transport")

    def __init__(self, transport: Any, consumer: Consumer) -> None:
        self._transport = transport
        self._consumer = consumer
        self._lost: Callable[[Failure], None] = transport.connectionLost
        self._reason: Failure | None = None

    def stand_in(self) -> None:
        self._transport.connectionLost = self._connection_lost

    def _connection_lost(self, reason: Failure) -> None:
        if isinstance(reason.value, _OUR_OWN) or not unread_bytes(self._transport):
            self._end(reason)
            return
        if self._reason is None:
            self._reason = reason
            self._transport.readConnectionLost = self._read_to_the_end
        _drop_unsent(self._transport)
        if not self._consumer.takes_nothing:
            self._transport.startReading()

    def _read_to_the_end(self, _end_of_file: Failure) -> None:
        # the kernel tells the error once; who has it from a write reads an end of file here
        assert self._reason is not None
        self._end(self._reason)

    def _end(self, reason: Failure) -> None:
        # a loss that comes in the same turn as an abort is told twice; Twisted's transports ignore the second
        for name in ("readConnectionLost", "connectionLost"):
            vars(self._transport).pop(name, None)
        if not isinstance(reason.value, _OUR_OWN):
            # which closes by RST
            reason = Failure(error.ConnectionAborted(reason.getErrorMessage()))
        self._lost(reason)


def _drop_unsent(transport: Any) -> None:
    transport.stopWriting()
    transport.dataBuffer = b""
    transport.offset = 0
    transport._tempDataBuffer = []
    transport._tempDataLen = 0
