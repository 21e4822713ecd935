"""What somebody who has logged in gets: one Python prompt, and no other service of SSH."""

from collections.abc import Mapping
from struct import pack
from typing import Any, NoReturn

from twisted.conch.avatar import ConchUser
from twisted.conch.error import ConchError
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.interfaces import IConchUser, ISession
from twisted.conch.manhole import Manhole
from twisted.conch.manhole_ssh import TerminalSessionTransport
from twisted.conch.ssh.connection import OPEN_ADMINISTRATIVELY_PROHIBITED, OPEN_UNKNOWN_CHANNEL_TYPE, SSHConnection
from twisted.conch.ssh.session import SSHSession, SSHSessionProcessProtocol, parseRequest_pty_req
from zope.interface import implementer

from socksfusion.manhole.quiet import QUIET

_WIDTH, _HEIGHT = 80, 24


class Prompt(Manhole):
    """A Python prompt in this process with ``namespace`` at hand; it greets with ``banner``."""

    def __init__(self, namespace: Mapping[str, object], banner: str) -> None:
        super().__init__({"__name__": "__manhole__", **namespace, "exit": _leave, "quit": _leave})  # type: ignore[no-untyped-call]
        self._banner = banner

    def initializeScreen(self) -> None:
        """Greet and prompt; the user's screen is left as it is."""
        self.terminal.write(f"{self._banner}\n".encode())
        self.terminal.write(self.ps[self.pn])
        self.setInsertMode()  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        """Run a line; leaving ends the session, not the program."""
        try:
            super().lineReceived(line)  # type: ignore[no-untyped-call]
        except SystemExit:
            self.terminal.loseConnection()
        except ValueError as error:  # a NUL byte, or bytes that are no UTF-8
            self.interpreter.resetBuffer()
            self.terminal.write(f"{error}\n".encode() + self.ps[0])


def _leave() -> NoReturn:
    """Leave the manhole (the program goes on)."""
    raise SystemExit


class ManholeConnection(SSHConnection):
    """Channels of a user; only sessions can be opened (no forwarding of ports, agents or displays)."""

    _log = QUIET

    def sendClose(self, channel: Any) -> None:
        """Close a session with exit status 0 (RFC 4254, section 6.10), without which ssh ends with 255."""
        self.sendRequest(channel, b"exit-status", pack("!L", 0))  # type: ignore[no-untyped-call]
        super().sendClose(channel)  # type: ignore[no-untyped-call]


class _Session(SSHSession):
    """A session with a prompt; commands, subsystems (sftp) and variables are refused.

    Shell and terminal are conch's own, less its lines in the log.
    """

    _log = QUIET
    avatar: "ManholeUser"

    def request_shell(self, data: bytes) -> int:
        if self.client is not None:
            return 0
        self.session = self.avatar
        client = SSHSessionProcessProtocol(self)
        self.avatar.openShell(client)
        self.client = client
        return 1

    def request_pty_req(self, data: bytes) -> int:
        self.avatar.getPty(*parseRequest_pty_req(data))
        return 1

    def request_exec(self, data: bytes) -> int:
        return 0

    def request_subsystem(self, data: bytes) -> int:
        return 0

    def request_env(self, data: bytes) -> int:
        return 0


@implementer(IConchUser, ISession)
class ManholeUser(ConchUser):
    """Somebody who has logged in: one session with one prompt."""

    _log = QUIET

    def __init__(self, namespace: Mapping[str, object], banner: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._namespace = namespace
        self._banner = banner
        self._terminal: ServerProtocol | None = None
        self._opened = False
        self._size = (_WIDTH, _HEIGHT)

    def lookupChannel(self, channelType: bytes, windowSize: int, maxPacket: int, data: bytes) -> SSHSession:
        """A session, the first time; everything else is refused."""
        if channelType != b"session":
            raise ConchError(OPEN_UNKNOWN_CHANNEL_TYPE, "only a session can be opened here")
        if self._opened:
            raise ConchError(OPEN_ADMINISTRATIVELY_PROHIBITED, "one session a connection")
        self._opened = True
        return _Session(remoteWindow=windowSize, remoteMaxPacket=maxPacket, data=data, avatar=self)

    def getPty(self, term: bytes, windowSize: tuple[int, int, int, int], modes: object) -> None:
        """Note the size of the user's terminal: rows and columns come first."""
        self._size = (windowSize[1] or _WIDTH, windowSize[0] or _HEIGHT)

    def openShell(self, proto: Any) -> None:
        """Show the prompt."""
        self._terminal = ServerProtocol(Prompt, self._namespace, self._banner)
        TerminalSessionTransport(proto, self._terminal, self, *self._size)

    def execCommand(self, proto: object, command: bytes) -> NoReturn:
        """Refuse."""
        raise ConchError("no commands here")

    def windowChanged(self, newWindowSize: tuple[int, int, int, int]) -> None:
        """Follow the size of the user's terminal."""
        if self._terminal is not None and self._terminal.terminalProtocol is not None:
            self._terminal.terminalProtocol.terminalSize(newWindowSize[1], newWindowSize[0])

    def eofReceived(self) -> None:
        """The user's input has ended (``ssh host < commands``): what it asked is answered, so leave."""
        if self._terminal is not None:
            self._terminal.loseConnection()

    def closed(self) -> None:
        """The channel is closed."""
        self._terminal = None
