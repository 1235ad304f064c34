"""Visits keep what the network alone said, where place, season or reviews had a say, and whether they are rarities."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add three columns; for visits from before nothing but the network had a say."""
    op.add_column("visit", sa.Column("raw_score", sa.Float))
    op.add_column("visit", sa.Column("raw_top", sa.JSON(none_as_null=True)))
    op.add_column("visit", sa.Column("rare", sa.Boolean))
