"""Recordings are known by what is in them, so that a card at another place is the same card."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column; recordings from before are known by path, size and time until they are seen again."""
    op.add_column("scanned", sa.Column("content", sa.Text))
    op.create_index("ix_scanned_content", "scanned", ["content"])
