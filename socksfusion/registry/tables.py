"""The registry's tables. ``registry.schema`` has the values that their rows are read as; times are Unix seconds."""

from sqlalchemy import (
    BigInteger,
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
    false,
    text,
)

REVISION = "0003"
"""The migration that makes the tables below; a registry at another one is of another version."""

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
    Column("token", LargeBinary(32)),
    Column("scope", Text, nullable=False, server_default=""),  # networks, a comma between them; so is every `allow`
    Column("expires", Float),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("paused_until", Float),
    Column("uninstalled", Boolean, nullable=False, server_default=false()),
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

clients = Table(
    "clients",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("token", LargeBinary(32), nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("all_agents", Boolean, nullable=False),
    Column("allow", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("last_seen", Float),
)

client_agents = Table(
    "client_agents",
    metadata,
    Column("client", String(64), ForeignKey("clients.name", ondelete="CASCADE"), primary_key=True),
    Column("agent", String(64), ForeignKey("agents.name", ondelete="CASCADE"), primary_key=True),
)

scans = Table(
    "scans",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("agent", String(64), nullable=False),  # its name only: a scan's record outlives a removed agent
    Column("started", Float, nullable=False),
    Column("ended", Float),
    Column("last_active", Float, nullable=False),
    Column("kind", String(8), CheckConstraint("kind IN ('implicit', 'explicit')"), nullable=False),
    Column("by", Text, nullable=False),
    Column("port", Integer, CheckConstraint("port BETWEEN 1 AND 65535")),
    Column("token", LargeBinary(32)),
    Column("until", Float),
    Column("allow", Text, nullable=False),
    Column("connect_timeout", Float),
    Column("hold", Float),
    Column("why_ended", String(8)),
    Column("port_trouble", Text),
    Column("streams", BigInteger, nullable=False, server_default="0"),
    Column("bytes_to_target", BigInteger, nullable=False, server_default="0"),
    Column("bytes_to_client", BigInteger, nullable=False, server_default="0"),
    Column("cut", BigInteger, nullable=False, server_default="0"),
    Column("not_tested", BigInteger, nullable=False, server_default="0"),
)

_RUNNING = text("ended IS NULL")
Index("scans_running", scans.c.agent, sqlite_where=_RUNNING, postgresql_where=_RUNNING)
Index("scans_running_port", scans.c.port, unique=True, sqlite_where=_RUNNING, postgresql_where=_RUNNING)

scan_results = Table(
    "scan_results",
    metadata,
    Column("scan", String(32), ForeignKey("scans.id", ondelete="CASCADE"), primary_key=True),
    Column("reply", Integer, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
)

scan_sources = Table(
    "scan_sources",
    metadata,
    Column("scan", String(32), ForeignKey("scans.id", ondelete="CASCADE"), primary_key=True),
    Column("address", String(64), primary_key=True),
)

gaps = Table(
    "gaps",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("scan", String(32), ForeignKey("scans.id", ondelete="CASCADE"), nullable=False),
    Column("began", Float, nullable=False),
    Column("ended", Float),
    Index("gaps_scan", "scan"),
)

untested = Table(
    "untested",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("scan", String(32), ForeignKey("scans.id", ondelete="CASCADE"), nullable=False),
    Column("at", Float, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("what", String(10), CheckConstraint("what IN ('cut', 'not tested')"), nullable=False),
    Column("why", Text, nullable=False),
    Index("untested_scan", "scan"),
)

reserved_ports = Table(
    "reserved_ports",
    metadata,
    Column("port", Integer, CheckConstraint("port BETWEEN 1 AND 65535"), primary_key=True, autoincrement=False),
    Column("agent", String(64), nullable=False),  # the one whose it was; its clients may still be set to it
    Column("kind", String(5), CheckConstraint("kind IN ('agent', 'scan')"), nullable=False),
    Column("until", Float, nullable=False),
)

links = Table(
    "links",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("agent", String(64), ForeignKey("agents.name", ondelete="CASCADE"), nullable=False),
    Column("proxy", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float),
    Index("links_agent", "agent"),
)
