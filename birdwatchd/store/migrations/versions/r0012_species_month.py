"""Sums of each species and month, kept by triggers: a list of species counts no million visits any more."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_DATED = "(clock IS NULL OR clock NOT IN (SELECT id FROM clock WHERE doubt = 'ahead'))"
_IS_COUNTED = "({row}.clock IS NULL OR {row}.clock NOT IN (SELECT id FROM clock WHERE doubt = 'ahead'))"
_SUM = "species = {row}.species AND month = substr({row}.started_at, 1, 7)"
# The visits of that sum; '~' sorts after '-'.
_VISITS = f"""FROM visit WHERE species = {{row}}.species AND {_DATED}
AND started_at >= substr({{row}}.started_at, 1, 7) AND started_at < substr({{row}}.started_at, 1, 7) || '~'"""
# Another visit with as many birds is found at once where it is usual, which it is where a bird comes alone.
_MOST = f"""CASE WHEN EXISTS (SELECT 1 {_VISITS} AND visit.count_max >= species_month.count_max) THEN count_max
ELSE (SELECT max(visit.count_max) {_VISITS}) END"""
# A visit more. No conflict clauses: one in the statement that fires a trigger would take their place.
_ADD = f"""
UPDATE species_month SET visits = visits + 1, first_at = min(first_at, NEW.started_at),
last_at = max(last_at, NEW.started_at), count_max = max(count_max, NEW.count_max)
WHERE {_SUM.format(row="NEW")} AND {_IS_COUNTED.format(row="NEW")};
INSERT INTO species_month (species, month, visits, first_at, last_at, count_max)
SELECT NEW.species, substr(NEW.started_at, 1, 7), 1, NEW.started_at, NEW.started_at, NEW.count_max
WHERE NEW.species IS NOT NULL AND {_IS_COUNTED.format(row="NEW")} AND NOT EXISTS (
SELECT 1 FROM species_month WHERE {_SUM.format(row="NEW")});
"""  # noqa: S608  # our own names
# A visit less: where the first one goes, the next visit is the first. Its month is not counted anew: a clock that is
# put right moves thousands, and each would look at all the others.
_TAKE = f"""
DELETE FROM species_month WHERE {_SUM} AND visits = 1 AND {_IS_COUNTED};
UPDATE species_month SET visits = visits - 1,
first_at = CASE WHEN {{row}}.started_at > first_at THEN first_at
ELSE (SELECT started_at {_VISITS} ORDER BY started_at LIMIT 1) END,
last_at = CASE WHEN {{row}}.started_at < last_at THEN last_at
ELSE (SELECT started_at {_VISITS} ORDER BY started_at DESC LIMIT 1) END,
count_max = CASE WHEN {{row}}.count_max < count_max THEN count_max ELSE {_MOST} END
WHERE {_SUM} AND {_IS_COUNTED};
""".format(row="OLD")  # noqa: S608  # our own names
_RECOUNT = f"""
UPDATE species_month SET count_max = CASE WHEN NEW.count_max >= count_max THEN NEW.count_max ELSE {_MOST} END
WHERE {_SUM} AND {_IS_COUNTED};
""".format(row="NEW")  # noqa: S608  # our own names
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
    "species_month_insert": ("INSERT ON visit WHEN NEW.species IS NOT NULL", _ADD),
    "species_month_update": (
        f"UPDATE OF species, started_at, clock ON visit WHEN {_MOVED}",
        _TAKE + _ADD,
    ),
    "species_month_count": (
        "UPDATE OF count_max ON visit WHEN NEW.species IS NOT NULL AND OLD.count_max IS NOT NEW.count_max",
        _RECOUNT,
    ),
    "species_month_delete": ("DELETE ON visit WHEN OLD.species IS NOT NULL", _TAKE),
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
