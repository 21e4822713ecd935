"""What systemd wants to hear of a service of type notify: ready, still alive, stopping (sd_notify(3)).

A few datagrams of text; a library for it would be a dependency of every Agent.
"""

import os
import socket
from collections.abc import MutableMapping
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from socksfusion.log import make_logger
from socksfusion.repeating import Repeating

_log = make_logger()

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_NEVER_SECONDS: Final = 3600.0


class ServiceManager(Repeating):
    """Tells systemd that the Agent is ready when it starts to try, for the network may come much later.

    The sign of life comes from the reactor: one that hangs misses it, and systemd starts the Agent anew. WATCHDOG_PID
    is not asked: it names the first of a single executable's two processes.
    """

    name = "service-manager"

    def __init__(self, clock: IReactorTime, address: str, watchdog_seconds: float | None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        super().__init__(clock, (watchdog_seconds or _NEVER_SECONDS) / 2, self._alive)

    def startService(self) -> None:
        """Say that the Agent is at work."""
        super().startService()
        self._tell("READY=1\nSTATUS=Connecting to the Proxy, or connected")

    def stopService(self) -> Any:
        """Say that it ends."""
        self._tell("STOPPING=1")
        return super().stopService()

    def _alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto(text.encode(), self._address)
        except OSError as error:
            _log.warn("the service manager can't be told {what!r}: {error}", what=text, error=error)


def service_manager(clock: IReactorTime, environment: MutableMapping[str, str] = os.environ) -> ServiceManager | None:
    """Whom ``environment`` names, and takes out of it; None where nobody waits for signs."""
    address, microseconds = environment.pop(_SOCKET, ""), environment.pop(_WATCHDOG, "")
    if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
        return None
    seconds = int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None
    return ServiceManager(clock, address, seconds)
