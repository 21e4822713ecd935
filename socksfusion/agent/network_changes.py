"""Changes of this machine's network, so that the Agent dials at once when there may be a way again.

Linux tells of every address and route that comes or goes, on a netlink socket (rtnetlink(7)). On other systems nothing
is told here, and the Agent's usual waits decide.
"""

import random
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from socksfusion import limits
from socksfusion.log import make_logger

_log = make_logger()

# linux/rtnetlink.h, linux/netlink.h, linux/if_addr.h
_NETLINK_ROUTE: Final = 0
_GROUPS: Final = 0x10 | 0x40 | 0x100 | 0x400  # RTMGRP_IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_NEW_ADDRESS, _GONE_ADDRESS, _NEW_ROUTE, _GONE_ROUTE = 20, 21, 24, 25
_UNIVERSE: Final = 0  # RT_SCOPE_UNIVERSE: what leads out of the machine and its link
_TENTATIVE: Final = 0x40  # IFA_F_TENTATIVE: nothing can be sent from it yet; its end is told again
_UNICAST: Final = 1  # RTN_UNICAST
_CLONED: Final = 0x200  # RTM_F_CLONED: a cache's entry
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ADDRESS: Final = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of three, table, protocol, scope, type, flags
_READ_BYTES: Final = 64 * limits.KIB


def tells_of_change(datagram: bytes) -> bool:
    """Whether one of rtnetlink's messages in ``datagram`` may mean another way out of this machine.

    What is cut off or malformed counts as a change: to dial once too often is harmless.
    """
    while datagram:
        if len(datagram) < _HEADER.size:
            return True
        length, kind, _, _, _ = _HEADER.unpack_from(datagram)
        if not _HEADER.size <= length <= len(datagram):
            return True
        if _matters(kind, datagram[_HEADER.size : length]):
            return True
        datagram = datagram[length + (-length % 4) :]
    return False


def _matters(kind: int, body: bytes) -> bool:
    if kind in (_NEW_ADDRESS, _GONE_ADDRESS):
        if len(body) < _ADDRESS.size:
            return True
        _, _, flags, scope, _ = _ADDRESS.unpack_from(body)
        return scope == _UNIVERSE and not flags & _TENTATIVE
    if kind in (_NEW_ROUTE, _GONE_ROUTE):
        if len(body) < _ROUTE.size:
            return True
        *_, route, flags = _ROUTE.unpack_from(body)
        return route == _UNICAST and not flags & _CLONED
    return False


def open_netlink() -> socket.socket | None:
    """A socket on which the kernel tells of changes; None where there is no such thing."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    made = None
    try:
        made = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _NETLINK_ROUTE)
        made.bind((0, _GROUPS))
    except OSError as error:
        # a service manager may forbid the address family
        _log.info("no word of network changes here ({why}); the usual waits decide", why=error.strerror)
        if made is not None:
            made.close()
        return None
    return made


@implementer(IReadDescriptor)
class NetworkChanges(Service):
    """Calls ``changed`` after this machine's network has changed.

    Several changes usually belong together (link, address, route): it waits up to ``limits.NETWORK_SETTLE_SECONDS`` for
    them, and a network that flaps is told once in ``limits.NETWORK_CHANGE_SECONDS``. ``open_socket`` gives the socket.
    """

    name = "network-changes"

    def __init__(
        self,
        reactor: Any,
        changed: Callable[[], None],
        *,
        open_socket: Callable[[], socket.socket | None] = open_netlink,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._changed = changed
        self._open_socket = open_socket
        self._uniform = uniform
        self._socket: socket.socket | None = None
        self._due: IDelayedCall | None = None
        self._earliest = 0.0

    def startService(self) -> None:
        """Listen."""
        super().startService()  # type: ignore[no-untyped-call]
        self._earliest = self._clock.seconds()
        self._socket = self._open_socket()
        if self._socket is not None:
            self._reactor.addReader(self)

    def stopService(self) -> None:
        """Listen no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._close()

    # -- IReadDescriptor -------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The socket's; -1 where there is none."""
        return self._socket.fileno() if self._socket is not None else -1

    def logPrefix(self) -> str:
        """For the reactor's own log."""
        return self.name

    def doRead(self) -> None:
        """Something was told. A flood is not read on until what it means was done: the kernel drops the rest."""
        if self._read():
            self._reactor.removeReader(self)
            now = self._clock.seconds()
            settle = self._uniform(limits.NETWORK_SETTLE_SECONDS / 2, limits.NETWORK_SETTLE_SECONDS)
            self._due = self._clock.callLater(max(settle, self._earliest - now), self._tell)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gives the socket up."""
        self._close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        self._due = None
        self._earliest = self._clock.seconds() + limits.NETWORK_CHANGE_SECONDS
        # what was told meanwhile belongs to this change
        self._read()
        if self._socket is not None:
            self._reactor.addReader(self)
        self._changed()

    def _read(self) -> bool:
        """Whether what waits, up to a bound, tells of a change."""
        changed = False
        for _ in range(limits.NETWORK_MESSAGES_PER_TURN):
            if self._socket is None:
                break
            try:
                changed |= tells_of_change(self._socket.recv(_READ_BYTES))
            except BlockingIOError:
                break
            except OSError:
                # ENOBUFS: more happened than the kernel keeps
                changed = True
        return changed

    def _close(self) -> None:
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None
