"""Visits and effort say in which stretch of even time they were stamped, so that a wrong clock can be put right."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table of stretches and the columns that name them; what was stamped before names none."""
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("began_at", sa.String(27), nullable=False),
        sa.Column("sure_at", sa.String(27), nullable=False),
        sa.Column("synchronised", sa.Boolean, nullable=False),
        sa.Column("doubt", sa.String(16)),
        sa.Column("shifted_s", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clock"),
    )
    op.add_column("visit", sa.Column("clock", sa.Integer))
    op.create_index("ix_visit_clock", "visit", ["clock"])
    op.add_column("effort", sa.Column("clock", sa.Integer))
