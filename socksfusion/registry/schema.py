"""What the registry holds: its tables, and the frozen values that they are read as.

Times are Unix seconds. Private keys are never here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

REVISION = "0001"
"""The migration that makes the tables below; a registry at another one is of another version."""

KeyState = Literal["pending", "active", "retired"]

metadata = MetaData()

agents = Table(
    "agents",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("revoked", Boolean, nullable=False),
    Column("port", Integer, CheckConstraint("port BETWEEN 1 AND 65535"), unique=True),
    Column("proxy", Text),
    Column("created", Float, nullable=False),
    Column("connected", Boolean, nullable=False),
    Column("last_seen", Float),
    Column("last_address", Text),
    Column("last_version", Text),
    Column("last_error", Text),
)

keys = Table(
    "keys",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),  # in the order in which they were minted
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("agent", String(64), ForeignKey("agents.name"), nullable=False),
    Column("state", String(7), CheckConstraint("state IN ('pending', 'active', 'retired')"), nullable=False),
    Column("created", Float, nullable=False),
    Index("keys_agent", "agent"),
    sqlite_autoincrement=True,
)

Index(
    "keys_one_active",
    keys.c.agent,
    unique=True,
    sqlite_where=text("state = 'active'"),
    postgresql_where=text("state = 'active'"),
)

scans = Table(
    "scans",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("agent", String(64), ForeignKey("agents.name"), nullable=False),
    Column("started", Float, nullable=False),
    Column("ended", Float),
    Column("last_active", Float, nullable=False),
)

Index("scans_running", scans.c.agent, sqlite_where=text("ended IS NULL"), postgresql_where=text("ended IS NULL"))


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
class Scan:
    """A span of time in which Clients use an agent."""

    id: str
    agent: str
    started: float
    ended: float | None
    last_active: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the Proxy decides by, at one moment."""

    agents: Mapping[str, Agent]
    """By name; revoked ones too."""
    keys: Mapping[bytes, AgentKey]
    """By digest; retired ones too."""
    scans: Mapping[str, Scan]
    """The running ones by id."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the Proxy notes of an agent; ``None`` leaves what was there."""

    agent: str
    connected: bool | None = None
    at: float | None = None
    address: str | None = None
    version: str | None = None
    error: str | None = None
