"""Visits name their clips: a video of each, and whether it ends before the visit does."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add both columns; visits from before have neither."""
    op.add_column("visit", sa.Column("clip", sa.Text))
    op.add_column("visit", sa.Column("clip_cut", sa.Boolean))
