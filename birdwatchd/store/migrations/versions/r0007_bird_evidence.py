"""Moments say how much of a bird the network found in them: by that they are ordered."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; moments from before have none, and are ordered by quality."""
    op.add_column("moment", sa.Column("bird_evidence", sa.Float))
