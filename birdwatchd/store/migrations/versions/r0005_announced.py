"""What a broker was given to keep is remembered, and what is told once a day; cameras can be switched off."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add two tables and a column."""
    op.create_table(
        "announced",
        sa.Column("topic", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("topic", name="pk_announced"),
    )
    op.create_table(
        "daily",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_daily"),
    )
    op.add_column("camera", sa.Column("switched_off", sa.Boolean))
