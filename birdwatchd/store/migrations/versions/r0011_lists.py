"""Lists of firsts, of rarities and of species are read from indexes: with a million visits each took a second."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the indexes; that of species has all that a list of species counts, and takes the place of the former one."""
    op.create_index(
        "ix_visit_species_started_at_count_max_clock", "visit", ["species", "started_at", "count_max", "clock"]
    )
    op.drop_index("ix_visit_species_started_at", "visit", if_exists=True)
    op.create_index("ix_visit_rare", "visit", ["started_at"], sqlite_where=sa.text("rare IS 1"))
    op.create_index("ix_visit_firsts", "visit", ["started_at"], sqlite_where=sa.text("firsts != '[]'"))
