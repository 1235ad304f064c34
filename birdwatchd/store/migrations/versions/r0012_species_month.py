"""Sums of each species and month, kept by triggers: a list of species counts no million visits any more."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

# No conflict clauses: one in the statement that fires a trigger would take their place.
_ADD = """
UPDATE species_month SET visits = visits + 1, first_at = min(first_at, NEW.started_at),
last_at = max(last_at, NEW.started_at), count_max = max(count_max, NEW.count_max)
WHERE species = NEW.species AND month = substr(NEW.started_at, 1, 7);
INSERT INTO species_month (species, month, visits, first_at, last_at, count_max)
SELECT NEW.species, substr(NEW.started_at, 1, 7), 1, NEW.started_at, NEW.started_at, NEW.count_max
WHERE NOT EXISTS (
SELECT 1 FROM species_month WHERE species = NEW.species AND month = substr(NEW.started_at, 1, 7));
"""
_DATED = "(clock IS NULL OR clock NOT IN (SELECT id FROM clock WHERE doubt = 'ahead'))"
# One month of one species counted anew: the next visit is the first, where the first one goes. '~' sorts after '-'.
_COUNT = f"""
DELETE FROM species_month WHERE species = {{row}}.species AND month = substr({{row}}.started_at, 1, 7);
INSERT INTO species_month (species, month, visits, first_at, last_at, count_max)
SELECT species, substr({{row}}.started_at, 1, 7), count(*), min(started_at), max(started_at), max(count_max)
FROM visit WHERE species = {{row}}.species AND {_DATED}
AND started_at >= substr({{row}}.started_at, 1, 7) AND started_at < substr({{row}}.started_at, 1, 7) || '~'
GROUP BY species;
"""  # noqa: S608  # our own names
_COUNT_CLOCK = f"""
DELETE FROM species_month WHERE (species, month) IN (
SELECT species, substr(started_at, 1, 7) FROM visit WHERE clock = NEW.id);
INSERT INTO species_month (species, month, visits, first_at, last_at, count_max)
SELECT found.species, found.month, count(*), min(started_at), max(started_at), max(count_max) FROM (
SELECT DISTINCT species, substr(started_at, 1, 7) AS month FROM visit WHERE clock = NEW.id AND species IS NOT NULL
) AS found CROSS JOIN visit ON visit.species = found.species AND {_DATED}
AND started_at >= found.month AND started_at < found.month || '~' GROUP BY found.species, found.month;
"""  # noqa: S608  # our own names
_FILL = f"""
INSERT INTO species_month (species, month, visits, first_at, last_at, count_max)
SELECT species, substr(started_at, 1, 7) AS of_month, count(*), min(started_at), max(started_at), max(count_max)
FROM visit WHERE species IS NOT NULL AND {_DATED} GROUP BY species, of_month
"""  # noqa: S608  # our own names
_MOVED = "OLD.species IS NOT NEW.species OR OLD.started_at IS NOT NEW.started_at OR OLD.clock IS NOT NEW.clock"
TRIGGERS = {
    "species_month_insert": (
        "INSERT ON visit WHEN NEW.species IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM clock WHERE id = NEW.clock AND doubt = 'ahead')",
        _ADD,
    ),
    "species_month_update": (
        f"UPDATE OF species, started_at, clock ON visit WHEN {_MOVED}",
        _COUNT.format(row="OLD") + _COUNT.format(row="NEW"),
    ),
    "species_month_count": (
        "UPDATE OF count_max ON visit WHEN NEW.species IS NOT NULL AND OLD.count_max IS NOT NEW.count_max",
        _COUNT.format(row="NEW"),
    ),
    "species_month_delete": ("DELETE ON visit WHEN OLD.species IS NOT NULL", _COUNT.format(row="OLD")),
    "species_month_doubt": (
        "UPDATE OF doubt ON clock WHEN (OLD.doubt IS 'ahead') != (NEW.doubt IS 'ahead')",
        _COUNT_CLOCK,
    ),
}


def upgrade() -> None:
    """Add the table, fill it, and let triggers keep it from now on. Reads the index of species once."""
    op.create_table(
        "species_month",
        sa.Column("species", sa.String(255), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("visits", sa.Integer, nullable=False),
        sa.Column("first_at", sa.String(27), nullable=False),
        sa.Column("last_at", sa.String(27), nullable=False),
        sa.Column("count_max", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("species", "month", name="pk_species_month"),
        sqlite_with_rowid=False,
    )
    op.execute(_FILL)
    for name, (event, body) in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} AFTER {event} BEGIN {body} END")
