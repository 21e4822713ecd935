"""A registry's snapshot for tests of who may open what: agents and clients with tokens, scans that run."""

from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from socksfusion.proxy.access import Access
from socksfusion.proxy.accounts import Accounts
from socksfusion.registry.schema import Client, Scan, Snapshot
from tests.proxy.gatehouse import agent

PEER = "192.0.2.9:4000"


def digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def client(name: str, *agents: str, **fields: Any) -> Client:
    """An account whose token is its name and ``-token``."""
    made = Client(
        name=name,
        token=digest(f"{name}-token"),
        revoked=False,
        all_agents=False,
        agents=frozenset(agents),
        allow=(),
        created=0.0,
        last_seen=None,
    )
    return replace(made, **fields)


def scan(name: str, of: str, **fields: Any) -> Scan:
    """A running explicit scan of the agent ``of``; its token is its name and ``-token``."""
    made = Scan(name, of, started=0.0, ended=None, last_active=0.0, kind="explicit", token=digest(f"{name}-token"))
    return replace(made, **fields)


class Registered:
    """What the registry says; a change makes a new snapshot, as a real one does."""

    def __init__(self, *agents: str) -> None:
        self.snapshot = Snapshot({}, {}, {})
        self.now = 1_000.0
        for name in agents:
            self.agent(name)

    def accounts(self, **options: Any) -> Accounts:
        return Accounts(lambda: self.snapshot, wall=lambda: self.now, **options)

    def agent(self, name: str, **fields: Any) -> None:
        """Register or change an agent, whose token is its name and ``-token``."""
        old = self.snapshot.agents.get(name) or replace(agent(name), token=digest(f"{name}-token"))
        self._set("agents", name, replace(old, **fields))

    def client(self, name: str, *agents: str, **fields: Any) -> None:
        self._set("clients", name, client(name, *agents, **fields))

    def scan(self, name: str, of: str, **fields: Any) -> None:
        self._set("scans", name, scan(name, of, **fields))

    def end_scan(self, name: str) -> None:
        scans = {key: value for key, value in self.snapshot.scans.items() if key != name}
        self.snapshot = replace(self.snapshot, scans=MappingProxyType(scans))

    def _set(self, table: str, name: str, value: Any) -> None:
        rows = MappingProxyType({**getattr(self.snapshot, table), name: value})
        self.snapshot = replace(self.snapshot, **{table: rows})


def access(**fields: Any) -> Access:
    return Access(**{"peer": PEER, **fields})
