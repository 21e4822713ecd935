"""Accounts: what a login proves, and what an access may do. Both are answered from the registry's snapshot in memory.

Tokens are compared as SHA-256 digests in constant time, and a name that does not exist costs the same comparisons as
one that does.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from socksfusion import limits
from socksfusion.networks import intersected
from socksfusion.proxy.access import Access, Grant, WhyNot
from socksfusion.registry.schema import Agent, Scan, Snapshot
from socksfusion.wire.socks5 import Reply


class _Token(NamedTuple):
    digest: bytes
    scan: str | None
    """The explicit scan whose token it is."""


_NOBODYS: Final = _Token(secrets.token_bytes(32), None)


class Accounts:
    """Judges logins, and every open.

    ``snapshot`` gives the registry as last seen; ``scanned`` the agents of whose scans the registry may not know yet;
    ``wall`` Unix seconds. ``required``: no listener opens anything without a login. ``connect_seconds`` and
    ``hold_seconds`` are for accesses whose scan says nothing else.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        required: bool = False,
        connect_seconds: float = limits.CONNECT_SECONDS,
        hold_seconds: float = limits.HOLD_SECONDS,
        scanned: Callable[[], Iterable[str]] = lambda: (),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.required = required
        self._snapshot = snapshot
        self._connect_seconds = connect_seconds
        self._hold_seconds = hold_seconds
        self._scanned = scanned
        self._wall = wall
        self._tokens = _ScanTokens()
        self._shared_port = _SharedPort()

    # -- logins ----------------------------------------------------------------------------------------------------

    def login(self, user: bytes, password: bytes, access: Access) -> Access | None:
        """``access`` completed by a login; None for a wrong one, whatever is wrong with it.

        ``user`` is ``AGENT``, with the agent's own token or that of one of its running explicit scans, or
        ``CLIENT@AGENT`` with the client's. Where a login is optional an empty password is none: some tools always send
        a user name.
        """
        client, at, agent = user.decode("ascii", "replace").rpartition("@")
        if not password and not self.required:
            return None if at or self._names_another(agent, access) else access
        given = sha256(password).digest()
        right = None
        # to the end: the work must not tell which one it was, nor whether there are any
        for token in self._candidates(client if at else None, agent):
            if hmac.compare_digest(token.digest, given):
                right = token
        if right is None or access.agent not in (None, agent) or (right.scan and access.scan not in (None, right.scan)):
            return None
        completed = access._replace(
            agent=agent, client=client if at else None, scan=right.scan or access.scan, token=given
        )
        return None if self._refusal(completed, agent) else completed

    def _candidates(self, client: str | None, agent: str) -> list[_Token]:
        """The tokens that would be right; always as many, whatever the names."""
        snapshot = self._snapshot()
        scans, width = self._tokens.of(snapshot)
        tokens: list[_Token] = []
        if client is None:
            record = snapshot.agents.get(agent)
            tokens += scans.get(agent, ())
            if record is not None and record.token is not None:
                tokens.append(_Token(record.token, None))
        else:
            account = snapshot.clients.get(client)
            if account is not None:
                tokens.append(_Token(account.token, None))
        return tokens + [_NOBODYS] * (width - len(tokens))

    def _names_another(self, agent: str, access: Access) -> bool:
        """Whether a user name without a password names an agent that it would not get: that must not be passed over."""
        snapshot = self._snapshot()
        if agent not in snapshot.agents:
            return False
        return agent != (access.agent if access.agent is not None else self._only_agent(snapshot))

    # -- opens -----------------------------------------------------------------------------------------------------

    def standing(self, access: Access) -> Grant | WhyNot:
        """What ``access`` may do now. To be asked at every open: rights may have gone since the login."""
        if access.token is None and self.required:
            return WhyNot("login", "a login is required", _DENIED)
        agent = access.agent if access.agent is not None else self._only_agent(self._snapshot())
        if isinstance(agent, WhyNot):
            return agent
        refusal = self._refusal(access, agent)
        if refusal is not None:
            return refusal
        snapshot = self._snapshot()
        scan = snapshot.scans[access.scan] if access.scan is not None else None
        allow = scan.allow if scan is not None else ()
        if access.client is not None:
            narrowed = intersected(snapshot.clients[access.client].allow, allow)
            if narrowed is None:
                return WhyNot("narrowed", "what client and scan are narrowed to has nothing in common", _DENIED)
            allow = narrowed
        if len(allow) > limits.NARROWING_NETWORKS:
            why = f"client and scan narrow to more than {limits.NARROWING_NETWORKS} networks"
            return WhyNot("narrowed", why, _DENIED)
        connect = hold = None
        if scan is not None:
            connect, hold = scan.connect_timeout, scan.hold
        return Grant(
            agent=agent,
            client=access.client,
            scan=access.scan,
            allow=allow,
            connect_seconds=self._connect_seconds if connect is None else connect,
            hold_seconds=self._hold_seconds if hold is None else hold,
        )

    def is_paused(self, agent: str) -> bool:
        """Whether the admin of ``agent`` has paused it, as it was told last."""
        record = self._snapshot().agents.get(agent)
        if record is None or not record.paused:
            return False
        return record.paused_until is None or self._wall() < record.paused_until

    def _only_agent(self, snapshot: Snapshot) -> str | WhyNot:
        """Whom the shared port leads to without a login."""
        only, scanned = self._shared_port.of(snapshot)
        if isinstance(only, WhyNot):
            return only
        # whoever began a scan on the shared port may go on after its agent was revoked, and must not reach another
        for other in sorted(scanned.union(self._scanned()) - {only}):
            return WhyNot(
                "revoked-scan", f"the scan of agent {other}, which is revoked, is not over; agent {only} is another"
            )
        return only

    def _refusal(self, access: Access, name: str) -> WhyNot | None:
        """Why ``access`` has no right to the agent ``name``, or None."""
        snapshot = self._snapshot()
        agent = snapshot.agents.get(name)
        if agent is None:
            return WhyNot("unregistered", f"agent {name} is not registered")
        if agent.shut_out(self._wall()):
            return WhyNot("unregistered", f"agent {name} {'is revoked' if agent.revoked else 'has expired'}")
        if agent.uninstalled:
            return WhyNot("uninstalled", f"agent {name} was removed by its admin")
        scan = None
        if access.scan is not None:
            scan = snapshot.scans.get(access.scan)
            if scan is None or scan.agent != name or (scan.until is not None and self._wall() >= scan.until):
                return WhyNot("scan-over", f"scan {access.scan} of agent {name} is over")
        if access.client is not None:
            return _refused_client(snapshot, access, name)
        if access.token is not None and not _opens(access.token, agent, scan):
            return WhyNot("renewed", f"the token of agent {name} or its scan was renewed", _DENIED)
        return None


class _ScanTokens:
    """The tokens of running explicit scans by agent, made anew once a snapshot."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._by_agent: dict[str, list[_Token]] = {}
        self._width = 1

    def of(self, snapshot: Snapshot) -> tuple[dict[str, list[_Token]], int]:
        """They, and how many tokens may open one agent at most."""
        if self._snapshot is not snapshot:
            by_agent: dict[str, list[_Token]] = {}
            for scan in snapshot.scans.values():
                if scan.token is not None:
                    by_agent.setdefault(scan.agent, []).append(_Token(scan.token, scan.id))
            self._by_agent = by_agent
            self._width = 1 + max(map(len, by_agent.values()), default=0)
            self._snapshot = snapshot
        return self._by_agent, self._width


class _SharedPort:
    """The one agent that is registered, or why it is not one; found anew once a snapshot.

    An agent whose time is over or whose admin removed it counts as registered: only an operator's own command may leave
    another one alone.
    """

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._only: str | WhyNot = ""
        self._scanned: frozenset[str] = frozenset()

    def of(self, snapshot: Snapshot) -> tuple[str | WhyNot, frozenset[str]]:
        """It, and the agents of the scans that run."""
        if self._snapshot is not snapshot:
            self._only = self._find(snapshot)
            self._scanned = frozenset(scan.agent for scan in snapshot.scans.values())
            self._snapshot = snapshot
        return self._only, self._scanned

    @staticmethod
    def _find(snapshot: Snapshot) -> str | WhyNot:
        registered = [name for name, agent in snapshot.agents.items() if not agent.revoked]
        if not registered:
            return WhyNot("unregistered", "no agent is registered; add one by: socksfusion agent add NAME")
        if len(registered) > 1:
            return WhyNot(
                "ambiguous",
                f"{len(registered)} agents are registered and this port is nobody's own; log in as an agent with its "
                "token, or give each agent a port by: socksfusion agent port NAME PORT",
            )
        return registered[0]


_DENIED: Final = Reply.NOT_ALLOWED


def _refused_client(snapshot: Snapshot, access: Access, agent: str) -> WhyNot | None:
    account = snapshot.clients.get(access.client or "")
    if account is None or account.revoked:
        return WhyNot("revoked", f"client {access.client} is revoked", _DENIED)
    if access.token is None or not hmac.compare_digest(access.token, account.token):
        return WhyNot("renewed", f"the token of client {access.client} was renewed", _DENIED)
    if not account.may_use(agent):
        return WhyNot("rights", f"client {access.client} may not use agent {agent}", _DENIED)
    return None


def _opens(token: bytes, agent: Agent, scan: Scan | None) -> bool:
    tokens = (agent.token, scan.token if scan is not None else None)
    return any(hmac.compare_digest(token, right) for right in tokens if right is not None)
