"""One-time links, by which a copy is downloaded."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table more; nothing else changes."""
    op.create_table(
        "links",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("agent", sa.String(64), sa.ForeignKey("agents.name", ondelete="CASCADE"), nullable=False),
        sa.Column("proxy", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("used", sa.Float),
    )
    op.create_index("links_agent", "links", ["agent"])


def downgrade() -> None:
    """The earlier version has no place for links."""
    raise NotImplementedError("restore the backup that was made before the upgrade")
