"""The triggers of `species_month` are made anew: those of 0012 counted a month for each visit that was moved."""

from alembic import op

from birdwatchd.store.migrations.versions.r0012_species_month import TRIGGERS

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Replace them; their sums are right and stay."""
    for name, (event, body) in TRIGGERS.items():
        op.execute(f"DROP TRIGGER IF EXISTS {name}")
        op.execute(f"CREATE TRIGGER {name} AFTER {event} BEGIN {body} END")
