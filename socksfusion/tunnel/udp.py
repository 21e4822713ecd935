"""A UDP socket in the reactor, for the two ends of an association: a Client's relay, and a Target's port.

Twisted's own logs two lines for each socket, takes a refused port for an end where it polls (so nobody is told), and
leaves any other error of the kernel to the reactor.
"""

import errno
import os
import socket
from typing import Any, Final
from typing import Protocol as Interface

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits

_LARGEST_BYTES: Final = 65_535


class DatagramReceiver(Interface):
    """Whom a socket tells."""

    def datagram_received(self, payload: bytes, source: tuple[str, int]) -> None:
        """A datagram came, from this address and port."""

    def socket_failed(self, error: OSError) -> None:
        """The kernel tells what became of an earlier datagram (``ECONNREFUSED``: nobody has that port), or that the
        socket is of no use. It is closed by now."""


@implementer(IReadDescriptor)
class UDPSocket:
    """A socket that reads from when it is made until it fails or is closed.

    ``reactor`` is an ``IReactorFDSet``. Attributes to read: ``host`` and ``port``, its own.
    """

    def __init__(self, reactor: Any, handle: socket.socket, receiver: DatagramReceiver) -> None:
        self._reactor = reactor
        self._handle: socket.socket | None = handle
        self._receiver = receiver
        self.host: str
        self.port: int
        self.host, self.port, *_ = handle.getsockname()
        reactor.addReader(self)

    def send(self, payload: bytes) -> None:
        """Send to whom the socket is connected.

        :raises OSError: it was not sent: the kernel has no room now (``BlockingIOError``), it is too long
            (``EMSGSIZE``), or the kernel tells what became of an earlier one.
        """
        if self._handle is not None:
            self._handle.send(payload)

    def send_to(self, payload: bytes, host: str, port: int) -> None:
        """Send to an address, given as a literal.

        :raises OSError: it was not sent.
        """
        if self._handle is not None:
            self._handle.sendto(payload, (host, port))

    def close(self) -> None:
        """Read no more, and let go of the port. Harmless when repeated."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._reactor.removeReader(self)
            handle.close()

    # -- the reactor -----------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return -1 if self._handle is None else self._handle.fileno()

    def logPrefix(self) -> str:
        """What a reactor calls it in its log."""
        return "UDP"

    def doRead(self) -> None:
        """Some of what waits; an error that the kernel has for us comes before it and ends the socket after it."""
        failed: OSError | None = None
        for _ in range(limits.DATAGRAMS_PER_TURN):
            if self._handle is None:
                return
            try:
                payload, source = self._handle.recvfrom(_LARGEST_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                failed = error
                continue
            self._receiver.datagram_received(payload, source[:2])
        if failed is not None:
            self._fail(failed)

    def connectionLost(self, reason: Failure) -> None:
        """A reactor that polls takes an error for the end of a connection; or the receiver has raised."""
        if self._handle is not None:
            number = self._handle.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.EIO
            self._fail(OSError(number, os.strerror(number)))

    def _fail(self, error: OSError) -> None:
        if self._handle is not None:
            self.close()
            self._receiver.socket_failed(error)


def connected_socket(
    reactor: Any, host: str, port: int, receiver: DatagramReceiver, source: str | None = None
) -> UDPSocket:
    """A socket that talks to one address only, given as a literal: the kernel drops what comes from others.

    ``source`` is the literal to send from; None leaves it to the system.

    :raises OSError: there is no way to it, or no descriptor left.
    """
    handle = _new(host)
    try:
        if source is not None:
            handle.bind((source, 0))
        handle.connect((host, port))
    except BaseException:
        handle.close()
        raise
    return UDPSocket(reactor, handle, receiver)


def bound_socket(reactor: Any, host: str, receiver: DatagramReceiver) -> UDPSocket:
    """A socket at any free port of the address ``host``, a literal that this machine has.

    :raises OSError: it can't be had.
    """
    handle = _new(host)
    try:
        handle.bind((host, 0))
    except BaseException:
        handle.close()
        raise
    return UDPSocket(reactor, handle, receiver)


def _new(host: str) -> socket.socket:
    handle = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    handle.setblocking(False)
    return handle
