"""Messages may be for other channels than the broker, and what alert rules told is remembered."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the channel (what waits already is the broker's) and the table of what fired."""
    op.add_column("outbox", sa.Column("channel", sa.String(64)))
    op.create_index("ix_outbox_channel_id", "outbox", ["channel", "id"])
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("visit_id", sa.String(64), nullable=False),
        sa.Column("started_at", sa.String(27), nullable=False),
        sa.Column("fired_at", sa.String(27), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("species", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("stands", sa.Boolean, nullable=False),
        sa.Column("channels", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert"),
        sa.UniqueConstraint("rule", "visit_id", name="uq_alert_rule_visit_id"),
        sa.ForeignKeyConstraint(["visit_id"], ["visit.id"], name="fk_alert_visit_id_visit", ondelete="CASCADE"),
    )
    op.create_index("ix_alert_visit_id", "alert", ["visit_id"])
    op.create_index("ix_alert_rule_started_at", "alert", ["rule", "started_at"])
