"""Why a target could not be opened through a Proxy: one class a reply code (RFC 1928, section 6).

Each is also the error of Twisted's that says the same, where there is one, so that code which knows nothing of
SocksFusion does the right thing. What was not tried is never one of those: a Proxy that is down, or a wrong login, must
not look like a closed port.
"""

from typing import ClassVar

from twisted.internet import error

from socksfusion.wire.socks5 import Reply


class OpenFailed(error.ConnectError):
    """The base of all; the text has the target and, where a reply came, its code."""

    reply: ClassVar[Reply | None] = None
    """The reply code; None where it is not one of RFC 1928, or there was none."""
    meaning: ClassVar[str] = "failed"
    """What it tells of the target, in a word or two."""

    def __init__(self, text: str) -> None:
        super().__init__(string=text)  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        return str(self.args[0])


class NotTested(OpenFailed):
    """Nothing is known of the target: no Agent, a lost carrier, a limit."""

    reply: ClassVar[Reply | None] = Reply.GENERAL_FAILURE
    meaning = "not tested"


class Denied(OpenFailed):
    """A policy forbids it: the admin's, the client's or the scan's."""

    reply = Reply.NOT_ALLOWED
    meaning = "denied by a policy"


class NetworkUnreachable(OpenFailed, error.NoRouteError):
    """The Agent has no way to the target's network."""

    reply = Reply.NETWORK_UNREACHABLE
    meaning = "network unreachable"


class HostUnreachable(OpenFailed):
    """The host can't be reached, or its name was not found."""

    reply = Reply.HOST_UNREACHABLE
    meaning = "host unreachable, or name not found"


class Refused(OpenFailed, error.ConnectionRefusedError):
    """The target refused: the port is closed."""

    reply = Reply.REFUSED
    meaning = "closed"


class NoAnswer(OpenFailed, error.TCPTimedOutError):
    """The target gave no answer in time: the port is filtered."""

    reply = Reply.TTL_EXPIRED
    meaning = "filtered: no answer in time"


class CommandNotSupported(OpenFailed):
    """The server has no CONNECT."""

    reply = Reply.COMMAND_NOT_SUPPORTED
    meaning = "command not supported"


class AddressNotSupported(OpenFailed):
    """The server takes no such address."""

    reply = Reply.ADDRESS_NOT_SUPPORTED
    meaning = "address type not supported"


class LoginRefused(NotTested):
    """The Proxy takes no request under this login, or wants one."""

    reply = None


class ProxyFailed(NotTested):
    """The Proxy can't be reached, ended the connection, gave no answer, or is none."""

    reply = None


_BY_CODE: dict[int, type[OpenFailed]] = {
    kind.reply: kind
    for kind in (
        NotTested,
        Denied,
        NetworkUnreachable,
        HostUnreachable,
        Refused,
        NoAnswer,
        CommandNotSupported,
        AddressNotSupported,
    )
    if kind.reply is not None
}


def from_reply(code: int, target: str) -> OpenFailed:
    """The error of a reply ``code``; a code that RFC 1928 doesn't have makes a plain ``OpenFailed``."""
    kind = _BY_CODE.get(code, OpenFailed)
    return kind(f"{target}: {kind.meaning} (reply {code:#04x})")
