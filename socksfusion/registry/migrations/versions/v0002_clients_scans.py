"""Clients' accounts, agents' tokens and scopes, scans by command and what scans found."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PORT = "port BETWEEN 1 AND 65535"


def upgrade() -> None:
    """Keep all that is there; scans of the first version become implicit ones without a record."""
    _extend_agents()
    _make_clients()
    _remake_scans()
    _make_records()
    op.create_table(
        "reserved_ports",
        sa.Column("port", sa.Integer, sa.CheckConstraint(_PORT), primary_key=True, autoincrement=False),
        sa.Column("agent", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(5), sa.CheckConstraint("kind IN ('agent', 'scan')"), nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )


def _extend_agents() -> None:
    for column in (
        sa.Column("token", sa.LargeBinary(32)),
        sa.Column("scope", sa.Text, nullable=False, server_default=""),
        sa.Column("expires", sa.Float),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("paused_until", sa.Float),
        sa.Column("uninstalled", sa.Boolean, nullable=False, server_default=sa.false()),
    ):
        op.add_column("agents", column)


def _make_clients() -> None:
    op.create_table(
        "clients",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("token", sa.LargeBinary(32), nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("all_agents", sa.Boolean, nullable=False),
        sa.Column("allow", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("last_seen", sa.Float),
    )
    op.create_table(
        "client_agents",
        sa.Column("client", sa.String(64), sa.ForeignKey("clients.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("agent", sa.String(64), sa.ForeignKey("agents.name", ondelete="CASCADE"), primary_key=True),
    )


def _remake_scans() -> None:
    """A table anew: SQLite can't take a foreign key away, and a scan's record outlives a removed agent."""
    op.drop_index("scans_running", "scans")
    op.rename_table("scans", "scans_before")
    op.create_table(
        "scans",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("agent", sa.String(64), nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
        sa.Column("last_active", sa.Float, nullable=False),
        sa.Column("kind", sa.String(8), sa.CheckConstraint("kind IN ('implicit', 'explicit')"), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("port", sa.Integer, sa.CheckConstraint(_PORT)),
        sa.Column("token", sa.LargeBinary(32)),
        sa.Column("until", sa.Float),
        sa.Column("allow", sa.Text, nullable=False),
        sa.Column("connect_timeout", sa.Float),
        sa.Column("hold", sa.Float),
        sa.Column("why_ended", sa.String(8)),
        sa.Column("port_trouble", sa.Text),
        sa.Column("streams", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("bytes_to_target", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("bytes_to_client", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("cut", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("not_tested", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.execute(
        'INSERT INTO scans (id, agent, started, ended, last_active, kind, "by", allow) '
        "SELECT id, agent, started, ended, last_active, 'implicit', '', '' FROM scans_before"
    )
    op.drop_table("scans_before")
    running = sa.text("ended IS NULL")
    op.create_index("scans_running", "scans", ["agent"], sqlite_where=running, postgresql_where=running)
    op.create_index(
        "scans_running_port", "scans", ["port"], unique=True, sqlite_where=running, postgresql_where=running
    )


def _make_records() -> None:
    def scan(primary_key: bool = False) -> sa.Column[str]:
        of = sa.ForeignKey("scans.id", ondelete="CASCADE")
        return sa.Column("scan", sa.String(32), of, primary_key=primary_key, nullable=False)

    op.create_table(
        "scan_results",
        scan(primary_key=True),
        sa.Column("reply", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "scan_sources",
        scan(primary_key=True),
        sa.Column("address", sa.String(64), primary_key=True),
    )
    op.create_table(
        "gaps",
        sa.Column("number", sa.Integer, primary_key=True),
        scan(),
        sa.Column("began", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
    )
    op.create_index("gaps_scan", "gaps", ["scan"])
    op.create_table(
        "untested",
        sa.Column("number", sa.Integer, primary_key=True),
        scan(),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("what", sa.String(10), sa.CheckConstraint("what IN ('cut', 'not tested')"), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_index("untested_scan", "untested", ["scan"])


def downgrade() -> None:
    """What the later tables hold has no place in the earlier ones."""
    raise NotImplementedError("restore the backup that was made before the upgrade")
