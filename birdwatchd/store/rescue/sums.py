"""Compare what triggers keep with the rows that it is of, and make it anew: sums of species, and marks of reviews."""

from __future__ import annotations

import sqlite3

__all__ = ["rebuild_marks", "rebuild_sums", "wrong_marks", "wrong_sums"]

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


_WRONGLY_MARKED = "reviewed != (id IN (SELECT visit_id FROM review))"


def wrong_marks(connection: sqlite3.Connection) -> int:
    """How many visits of a database of this version say of their reviews what these do not."""
    return int(connection.execute(f"SELECT count(*) FROM visit WHERE {_WRONGLY_MARKED}").fetchone()[0])  # noqa: S608


def rebuild_marks(connection: sqlite3.Connection) -> None:
    """Let all visits say whether they are reviewed; does nothing in a database of an older version."""
    if connection.execute("SELECT 1 FROM pragma_table_info('visit') WHERE name = 'reviewed'").fetchone():
        connection.execute(f"UPDATE visit SET reviewed = NOT reviewed WHERE {_WRONGLY_MARKED}")  # noqa: S608
