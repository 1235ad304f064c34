"""Retention writes down which files go, so that a kill in the middle leaves none that is taken for a lost picture."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "going",
        sa.Column("file", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("file", name="pk_going"),
    )
