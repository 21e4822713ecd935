"""The first registry: agents, their keys, and scans."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "agents",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("port", sa.Integer, sa.CheckConstraint("port BETWEEN 1 AND 65535"), unique=True),
        sa.Column("proxy", sa.Text),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("connected", sa.Boolean, nullable=False),
        sa.Column("last_seen", sa.Float),
        sa.Column("last_address", sa.Text),
        sa.Column("last_version", sa.Text),
        sa.Column("last_error", sa.Text),
    )
    op.create_table(
        "keys",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("agent", sa.String(64), sa.ForeignKey("agents.name"), nullable=False),
        sa.Column(
            "state", sa.String(7), sa.CheckConstraint("state IN ('pending', 'active', 'retired')"), nullable=False
        ),
        sa.Column("created", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("keys_agent", "keys", ["agent"])
    active = sa.text("state = 'active'")
    op.create_index("keys_one_active", "keys", ["agent"], unique=True, sqlite_where=active, postgresql_where=active)
    op.create_table(
        "scans",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("agent", sa.String(64), sa.ForeignKey("agents.name"), nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
        sa.Column("last_active", sa.Float, nullable=False),
    )
    running = sa.text("ended IS NULL")
    op.create_index("scans_running", "scans", ["agent"], sqlite_where=running, postgresql_where=running)


def downgrade() -> None:
    """There is nothing before the first."""
    raise NotImplementedError("the first version of the registry can't be undone")
