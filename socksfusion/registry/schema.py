"""What the registry holds, as the frozen values that it is read as; ``registry.tables`` has the tables.

Times are Unix seconds. Private keys and tokens are never here, only SHA-256 digests of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

KeyState = Literal["pending", "active", "retired"]
ScanKind = Literal["implicit", "explicit"]
WhyEnded = Literal["stopped", "over", "idle", "revoked", "admin"]
"""By command; its time was over; without streams for long; its agent was revoked; the network's admin stopped it."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent as the registry knows it."""

    name: str
    revoked: bool
    port: int | None
    """The clients' port that is this agent's alone."""
    proxy: str | None
    """``host:port`` that its copies are made for; ``None``: what is usual when a copy is made."""
    created: float
    connected: bool
    """What the Proxy wrote last; after a Proxy's crash it may be out of date (see ``Registry.is_served``)."""
    last_seen: float | None
    last_address: str | None
    """Where it came from, ``host:port``."""
    last_version: str | None
    last_error: str | None
    token: bytes | None = field(default=None, repr=False)
    """SHA-256 of the token that opens this agent to clients, 32 bytes; ``None``: it has none."""
    scope: tuple[str, ...] = ()
    """Networks (CIDR) that were agreed on with its admin; empty: none were named."""
    expires: float | None = None
    """From then on it is refused as if it were unknown."""
    paused: bool = False
    """Its admin has paused it."""
    paused_until: float | None = None
    """When that ends by itself, if it does."""
    uninstalled: bool = False
    """Its admin has uninstalled it."""

    def shut_out(self, now: float) -> bool:
        """Whether it may not come in at ``now``: it is revoked, or its time is over."""
        return self.revoked or (self.expires is not None and now >= self.expires)


@dataclass(frozen=True, slots=True)
class AgentKey:
    """One key of an agent."""

    digest: bytes
    """SHA-256 of the SubjectPublicKeyInfo, 32 bytes."""
    agent: str
    state: KeyState
    """*pending* until it first connects, then *active*, and *retired* once a newer one has connected."""
    created: float


@dataclass(frozen=True, slots=True)
class Client:
    """An account of a Client: which agents its token opens."""

    name: str
    token: bytes = field(repr=False)
    """SHA-256 of its token, 32 bytes."""
    revoked: bool
    all_agents: bool
    """Whether it may use every agent, those of later too."""
    agents: frozenset[str]
    """The names of those that it may use otherwise."""
    allow: tuple[str, ...]
    """Networks (CIDR) to which this account is narrowed; empty: as far as the agent allows."""
    created: float
    last_seen: float | None

    def may_use(self, agent: str) -> bool:
        """Whether this account opens ``agent`` now."""
        return not self.revoked and (self.all_agents or agent in self.agents)


@dataclass(frozen=True, slots=True)
class Scan:
    """A span of time in which Clients use an agent."""

    id: str
    agent: str
    started: float
    ended: float | None
    last_active: float
    kind: ScanKind = "implicit"
    """*explicit*: by command. *implicit*: by a first Client's connection while none ran."""
    by: str = ""
    """Who started it: a user of the Proxy's system, or a client's account."""
    port: int | None = None
    """The clients' port that is this scan's alone while it runs."""
    token: bytes | None = field(default=None, repr=False)
    """SHA-256 of its token, 32 bytes."""
    until: float | None = None
    """When its time is over; ``None``: when it is stopped."""
    allow: tuple[str, ...] = ()
    """Networks (CIDR) to which this scan is narrowed; empty: as far as agent and client allow."""
    connect_timeout: float | None = None
    """Seconds for one CONNECT; ``None``: the Proxy's ``--connect-timeout``."""
    hold: float | None = None
    """Seconds that an open waits for an agent that is reconnecting; ``None``: ``limits.HOLD_SECONDS``."""
    why_ended: WhyEnded | None = None
    port_trouble: str | None = None
    """Why the Proxy can't open its port, for people."""


@dataclass(frozen=True, slots=True)
class ScanNotes:
    """What a scan did, or what it did since the last notes: every number adds up."""

    streams: int = 0
    """Opens that were answered 0x00."""
    bytes_to_target: int = 0
    bytes_to_client: int = 0
    results: Mapping[int, int] = field(default_factory=dict)
    """SOCKS reply to how many opens ended in it."""
    sources: frozenset[str] = frozenset()
    """Addresses from which the Agent dialled."""


@dataclass(frozen=True, slots=True)
class ScanTotals:
    """All that is counted of one scan."""

    notes: ScanNotes
    cut: int
    """Streams that a lost carrier cut, also those that ``untested`` no longer lists."""
    not_tested: int
    """Opens that were answered 0x01, likewise."""

    @property
    def incomplete(self) -> bool:
        """Whether anything was cut or not tested."""
        return bool(self.cut or self.not_tested or self.notes.results.get(1))


@dataclass(frozen=True, slots=True)
class Gap:
    """A span in which a running scan's agent had no carrier."""

    scan: str
    began: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Untested:
    """An open of a scan that says nothing, or not all, about its target."""

    scan: str
    at: float
    host: str
    """As the Client asked for it."""
    port: int
    what: Literal["cut", "not tested"]
    why: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the Proxy decides by, at one moment."""

    agents: Mapping[str, Agent]
    """By name; revoked ones too."""
    keys: Mapping[bytes, AgentKey]
    """By digest; retired ones too."""
    scans: Mapping[str, Scan]
    """The running ones by id, explicit and implicit."""
    clients: Mapping[str, Client] = field(default_factory=dict)
    """By name; revoked ones too."""
    change: int = 0
    """The number of the last change that it shows."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the Proxy notes of an agent; ``None`` leaves what was there."""

    agent: str
    connected: bool | None = None
    at: float | None = None
    address: str | None = None
    version: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link, by which an agent's next copy is downloaded."""

    digest: bytes = field(repr=False)
    """SHA-256 of the secret in its address, 32 bytes."""
    agent: str
    proxy: str
    """The Proxy's address that the copy is made for."""
    by: str
    """Who made it: a user of the Proxy's system."""
    created: float
    expires: float
    used: float | None = None
    """When the copy was handed out."""

    @property
    def id(self) -> str:
        """What it is called in lists: the beginning of its digest."""
        return self.digest.hex()[:12]
