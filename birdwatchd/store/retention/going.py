"""Write down which files retention deletes, with the rows that let go of them, until they are gone.

A file goes after the commit that forgets it. After a kill in between it would lie there like the picture of a lost row,
be moved aside, and be made a visit again. The next start deletes what is written down here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.media import Media

__all__ = ["add_going", "finish_going", "forget_gone"]


def add_going(connection: Connection, files: Iterable[str]) -> None:
    """Files whose rows are changed in this transaction, and that are deleted after it."""
    rows = [{"file": name} for name in files]
    if rows:
        connection.execute(sqlite.insert(schema.going).on_conflict_do_nothing(), rows)


def forget_gone(connection: Connection, files: Collection[str]) -> None:
    """Files that are deleted."""
    table = schema.going
    connection.execute(sa.delete(table).where(table.c.file.in_(sorted(files))))


def finish_going(database: Database, media: Media) -> int:
    """Delete what an earlier process was killed over; how many files. Call it while nobody else writes.

    A file that a row names again (a recording was scanned anew) stays.
    """
    moment, visit, table = schema.moment.c, schema.visit.c, schema.going
    with database.reading() as connection:
        files = list(connection.execute(sa.select(table.c.file)).scalars())
        named = set(
            connection.execute(sa.select(moment.crop).where(moment.crop.in_(sa.select(table.c.file)))).scalars()
        )
        named |= set(connection.execute(sa.select(visit.clip).where(visit.clip.in_(sa.select(table.c.file)))).scalars())
    if not files:
        return 0
    going = [name for name in files if name not in named and _is_media(name)]
    for name in going:
        media.remove(name)
    with database.writing() as connection:
        connection.execute(sa.delete(table))
    return len(going)


def _is_media(name: str) -> bool:
    """Whether a name is one of a picture or clip below home, whatever a damaged page may say."""
    path = PurePosixPath(name)
    return path.parts[:1] == ("media",) and ".." not in path.parts and path.suffix in (".jpg", ".mp4")
