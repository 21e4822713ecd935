"""Under which rights a Client opens: whom a listener and a login make of it, and what it may do with that."""

from typing import NamedTuple

from socksfusion.wire.socks5 import Reply


class Access(NamedTuple):
    """Who a Client is. Its listener makes it, and a login completes it (``proxy.accounts.Accounts.login``).

    It says nothing about rights: those are asked at every open (``Accounts.standing``).
    """

    peer: str
    """The Client's address and port, for logs; empty in a listener's template."""
    agent: str | None = None
    """The agent that it uses; None on the shared port without a login: the one that is registered."""
    client: str | None = None
    """The account that logged in as ``client@agent``; None: without a login, or with a token of agent or scan."""
    scan: str | None = None
    """The explicit scan whose port it came to or whose token it gave; None: the agent's implicit scan."""
    token: bytes | None = None
    """SHA-256 of the token that it gave; None without a login. A token that was renewed since opens nothing."""


class Grant(NamedTuple):
    """What an :class:`Access` may do at this moment."""

    agent: str
    client: str | None
    scan: str | None
    """The explicit scan, which runs; None: the agent's implicit one."""
    allow: tuple[str, ...]
    """CIDR networks of which one must hold the Target's address: the client's and the scan's narrowing, both of which
    must hold. Empty: no narrowing. One that leaves nothing is no grant."""
    connect_seconds: float
    """How long the agent may try to reach a Target."""
    hold_seconds: float
    """How long an open waits for an agent that is reconnecting."""


class WhyNot(NamedTuple):
    """Why an open is refused. Each cause is a rule of its own: one must not hide another in the log."""

    rule: str
    text: str
    reply: Reply = Reply.GENERAL_FAILURE
    """``NOT_ALLOWED`` where somebody has forbidden it; else ``GENERAL_FAILURE``: not tested."""
