"""Filters of lists that few visits pass are checked in indexes: each looked at a million visits, for a second."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

# Compared first: a review of a visit that has one already writes nothing more.
_MARK = """
UPDATE visit SET reviewed = EXISTS (SELECT 1 FROM review WHERE visit_id = {row}.visit_id)
WHERE id = {row}.visit_id AND reviewed != EXISTS (SELECT 1 FROM review WHERE visit_id = {row}.visit_id);
"""
TRIGGERS = {
    "reviewed_insert": ("INSERT ON review", _MARK.format(row="NEW")),
    "reviewed_update": ("UPDATE OF visit_id ON review", _MARK.format(row="OLD") + _MARK.format(row="NEW")),
    "reviewed_delete": ("DELETE ON review", _MARK.format(row="OLD")),
}
_OLDER = (
    "ix_visit_camera_id_state_started_at",
    "ix_visit_species_started_at_count_max_clock",
    "ix_visit_rare",
    "ix_visit_firsts",
)
_OF_FEW = ["started_at", "state", "camera_id", "species", "score", "reviewed"]


def upgrade() -> None:
    """Mark the visits that are reviewed, and make the indexes of lists again with all that a filter asks for.

    The older ones go first, so that the new ones take their place in the file.
    """
    op.execute("ALTER TABLE visit ADD COLUMN reviewed BOOLEAN DEFAULT 0 NOT NULL")
    op.execute("UPDATE visit SET reviewed = 1 WHERE id IN (SELECT visit_id FROM review)")
    for name, (event, body) in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} AFTER {event} BEGIN {body} END")
    for name in _OLDER:
        op.drop_index(name, "visit", if_exists=True)
    op.create_index("ix_visit_of_camera", "visit", ["camera_id", "state", "started_at", "score", "reviewed"])
    op.create_index(
        "ix_visit_of_species",
        "visit",
        ["species", "started_at", "count_max", "clock", "camera_id", "score", "reviewed"],
        sqlite_where=sa.text("species IS NOT NULL"),
    )
    op.create_index("ix_visit_rare", "visit", _OF_FEW, sqlite_where=sa.text("rare IS 1"))
    op.create_index("ix_visit_firsts", "visit", [*_OF_FEW, "rare"], sqlite_where=sa.text("firsts != '[]'"))
    op.create_index("ix_visit_unreviewed", "visit", ["reviewed"], sqlite_where=sa.text("reviewed IS 0"))
    op.create_index("ix_visit_score", "visit", ["score"])
    op.create_index("ix_review_at", "review", ["at"])
