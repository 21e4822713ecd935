"""The admin's commands to the running Agent, over a Unix socket that only its user can open.

A command is one line of JSON, and so is its answer: ``{"do": "pause", "seconds": 3600}`` → ``{"ok": true, …}``. What is
no command ends its connection, and nothing else.
"""

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.agent.status import Status
from socksfusion.agent.switch import Switch
from socksfusion.errors import UsageError
from socksfusion.log import make_logger, printable

_log = make_logger()

SUPPORTED: Final = hasattr(socket, "AF_UNIX")
"""Whether this system has such sockets."""


class BadCommand(Exception):
    """What came is no command; the text says why."""


class Commands:
    """What can be asked for."""

    def __init__(self, switch: Switch, status: Status) -> None:
        self._switch = switch
        self._status = status
        self._by_name: Mapping[str, Callable[[dict[str, Any]], str]] = {
            "pause": self._pause,
            "resume": lambda _: switch.resume(),
            "stop-scan": self._stop_scan,
            "status": lambda _: "",
        }

    def run(self, line: bytes) -> dict[str, Any]:
        """Do what ``line`` asks for; the answer. Raises ``BadCommand``."""
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadCommand("no JSON") from error
        name = asked.get("do") if isinstance(asked, dict) else None
        command = self._by_name.get(name) if isinstance(name, str) else None
        if command is None:
            raise BadCommand("no command")
        trouble = command(asked)
        return {"ok": True, "trouble": trouble, **self._status.report()}

    def _pause(self, asked: dict[str, Any]) -> str:
        seconds = asked.get("seconds")
        if seconds is None:
            return self._switch.pause(None)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise BadCommand("no span of time")
        # NaN is in no range, and an integer may be larger than any float
        if not 0 < seconds <= limits.PAUSE_LARGEST_SECONDS:
            raise BadCommand("no span of time")
        return self._switch.pause(float(seconds))

    def _stop_scan(self, _asked: dict[str, Any]) -> str:
        self._switch.stop_scan()
        return ""


class ControlConnection(LineReceiver, TimeoutMixin):
    """One connection of the admin's."""

    delimiter = b"\n"
    MAX_LENGTH = limits.CONTROL_LINE_BYTES

    def __init__(self, factory: "ControlFactory") -> None:
        self._factory = factory

    def connectionMade(self) -> None:
        """Wait for a command."""
        self._factory.connections.add(self)
        self.setTimeout(limits.CONTROL_SECONDS)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        """A command."""
        self.resetTimeout()  # type: ignore[no-untyped-call]
        try:
            answer = self._factory.commands.run(line)
        except BadCommand as error:
            _log.warn("control socket: {why}", why=str(error))
            answer = {"ok": False, "why": str(error)}
        self.sendLine(json.dumps(answer).encode())  # type: ignore[no-untyped-call]
        if not answer["ok"]:
            self.transport.loseConnection()  # type: ignore[union-attr]

    def lineLengthExceeded(self, line: bytes) -> None:
        """No command is that long."""
        _log.warn("control socket: a line of more than {size} bytes", size=self.MAX_LENGTH)
        self.transport.loseConnection()  # type: ignore[union-attr]

    def timeoutConnection(self) -> None:
        """He says nothing, or takes no answer."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """He has left."""
        self.setTimeout(None)  # type: ignore[no-untyped-call]
        self._factory.connections.discard(self)


class ControlFactory(Factory):
    """Takes ``limits.CONTROL_CONNECTIONS`` at once."""

    noisy = False

    def __init__(self, clock: Any, commands: Commands) -> None:
        self.commands = commands
        self.connections: set[ControlConnection] = set()
        self._clock = clock

    def buildProtocol(self, addr: IAddress | None) -> ControlConnection | None:
        """None closes what is too much."""
        if len(self.connections) >= limits.CONTROL_CONNECTIONS:
            return None
        connection = ControlConnection(self)
        connection.callLater = self._clock.callLater  # type: ignore[method-assign]
        return connection


class Control(Service):
    """The socket at ``path``; ``required`` where somebody named it, and the program can't do without.

    Elsewhere, where it can't be had, the log tells so and the Agent runs without.
    """

    name = "control"

    def __init__(self, reactor: Any, path: Path, factory: ControlFactory, *, required: bool) -> None:
        self._reactor = reactor
        self._path = path
        self._factory = factory
        self._required = required
        self._port: Any = None

    def startService(self) -> None:
        """Listen. Raises ``UsageError`` where it can't and must."""
        super().startService()  # type: ignore[no-untyped-call]
        trouble = self._listen()
        if not trouble:
            return
        trouble = f"--control: can't listen on {printable(str(self._path))}: {trouble}"
        if self._required:
            raise UsageError(trouble)
        _log.warn("{trouble}; pause, resume, stop-scan and status are not at hand", trouble=trouble)

    def stopService(self) -> Any:
        """Close it, and what is open."""
        super().stopService()  # type: ignore[no-untyped-call]
        for connection in list(self._factory.connections):
            connection.transport.abortConnection()  # type: ignore[union-attr]
        if self._port is not None:
            port, self._port = self._port, None
            return port.stopListening()
        return None

    def _listen(self) -> str:
        if not SUPPORTED:
            return "this system has no Unix sockets"
        if _answers(self._path):
            return "another Agent has it"
        with suppress(OSError):
            if self._path.is_socket():
                # left by one that was killed
                self._path.unlink()
        umask = os.umask(0o177)  # twisted sets the mode only after the socket has its name
        try:
            self._port = self._reactor.listenUNIX(str(self._path), self._factory, mode=0o600)
        except CannotListenError as error:
            return getattr(error.socketError, "strerror", None) or str(error.socketError)
        finally:
            os.umask(umask)
        return ""


def _answers(path: Path) -> bool:
    """Whether a program listens there; a socket's file may be left from one that was killed."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(limits.CONTROL_SECONDS)
        try:
            probe.connect(str(path))
        except (BlockingIOError, TimeoutError):
            pass  # it has more to do than to answer: its queue is full
        except OSError:
            return False
        return True


def control_path(option: str | None, copy: Path, runtime: str | None) -> Path:
    """Where the socket is: ``--control``, in the folder that systemd made for the service, or beside the copy."""
    if option is not None:
        return Path(option)
    return Path(runtime.partition(":")[0]) / "control" if runtime else copy.with_name(f"{copy.name}.control")


def pause_path(copy: Path, state: str | None) -> Path:
    """Where a pause is kept: in the folder that systemd keeps for the service, or beside the copy."""
    return Path(state.partition(":")[0]) / "paused" if state else copy.with_name(f"{copy.name}.paused")
