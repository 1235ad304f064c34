"""Compare the sums of each species and month with the visits that they are of, and count them anew."""

from __future__ import annotations

import sqlite3

__all__ = ["rebuild_sums", "wrong_sums"]

_COUNT = """
SELECT species, substr(started_at, 1, 7) AS month, count(*), min(started_at), max(started_at), max(count_max)
FROM visit WHERE species IS NOT NULL AND (clock IS NULL OR clock NOT IN (SELECT id FROM clock WHERE doubt = 'ahead'))
GROUP BY species, month
"""
_FILL = f"INSERT INTO species_month (species, month, visits, first_at, last_at, count_max) {_COUNT}"
_STORED = "SELECT species, month, visits, first_at, last_at, count_max FROM species_month"
_WRONG = f"""
SELECT count(*) FROM (SELECT species, month FROM (
SELECT * FROM ({_STORED} EXCEPT {_COUNT}) UNION ALL SELECT * FROM ({_COUNT} EXCEPT {_STORED})
) GROUP BY species, month)
"""  # noqa: S608  # our own names


def wrong_sums(connection: sqlite3.Connection) -> int:
    """How many are not what counting the visits gives, of a database of this version; 0 where all are right."""
    return int(connection.execute(_WRONG).fetchone()[0])


def rebuild_sums(connection: sqlite3.Connection) -> None:
    """Count all of them anew, in the caller's transaction; does nothing in a database of an older version."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'species_month'").fetchone():
        connection.execute("DELETE FROM species_month")
        connection.execute(_FILL)
