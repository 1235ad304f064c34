"""Open the database of a home, and give each caller the door that it needs.

`StoreReader` only reads: opening it creates nothing, so that a mistyped `--home` is an error and not an empty answer.
`Store` also writes, and has a door for each purpose: visits, messages, retained topics, cameras, effort, recordings.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from birdwatchd.store import schema
from birdwatchd.store.alert_log import Decide
from birdwatchd.store.camera_state import Cameras, Effort
from birdwatchd.store.database import Database
from birdwatchd.store.embeddings import Embeddings
from birdwatchd.store.examples import Examples
from birdwatchd.store.media import Media, home_lock
from birdwatchd.store.news import Compose
from birdwatchd.store.outbox import AnnouncedTopics, Outbox
from birdwatchd.store.reader import Visits
from birdwatchd.store.revision import Setup
from birdwatchd.store.scans import Scans
from birdwatchd.store.sqlite_errors import store_errors
from birdwatchd.store.writer import Writer

__all__ = ["Store", "StoreReader"]


class StoreReader:
    """What can be read of a home. Safe to use from several threads and next to other processes.

    Everything that the doors do raises StoreBusy, StoreFull or StoreError as `birdwatchd.errors` says.

    Attributes:
        path: of the database file.
        visits, embeddings, examples, outbox, effort: the doors, each see its class.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.home, self.path = database.home, database.path
        self.visits = Visits(database)
        self.embeddings = Embeddings(database)
        self.examples = Examples(database)
        self.outbox = Outbox(database)
        self.effort = Effort(database)

    @classmethod
    def open_existing(cls, home: Path) -> StoreReader:
        """Open a home for reading; create and change nothing.

        Raises:
            StoreError: there is no database, or an older birdwatchd's.
            StoreTooNew: a newer birdwatchd's.
        """
        return StoreReader(Database.open_existing(home))

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Store(StoreReader):
    """A home for reading and writing. Open it with `Store.open`, end it with `close`.

    Attributes:
        zone: whose midnight ends a day.
        retained, cameras, scans: the doors, each see its class.
    """

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        super().__init__(database)
        self.zone, self._media = zone, Media(database.home)
        self.retained = AnnouncedTopics(database)
        self.cameras = Cameras(database, self._media, zone)
        self.scans = Scans(database, self._media)

    @classmethod
    def open(cls, home: Path, *, zone: ZoneInfo) -> Store:
        """Open a home, creating or upgrading what is needed.

        Args:
            zone: whose midnight ends a day, for "first today".

        Raises:
            StoreTooNew: a newer birdwatchd wrote it.
            StoreBusy, StoreFull, StoreError: it cannot be opened now, or at all.
        """
        return cls(Database.open(home), zone)

    def writer(self, compose: Compose | None = None, decide: Decide | None = None) -> Writer:
        """The door through which visits are written.

        Args:
            compose: writes the messages about a visit; None where nobody is to get any.
            decide: says which alert rules fire; None where there are none.
        """
        return Writer(self._database, Setup(self._media, self.zone, compose, decide))

    def close(self) -> None:
        """Move everything into the one database file and let go of it."""
        self._database.close(checkpoint=True)

    def sweep(self, now: datetime) -> int:
        """Delete crops and clips that no row names (a crash between file and commit); how many. Call it at start.

        Looks only into day folders that changed since the last sweep (see `Media.sweep`), and waits for other
        processes that are just recording.
        """
        with self._database.lock, store_errors(self.path), home_lock(self.home, shared=False):
            return self._media.sweep(self._named_files, now)

    def _named_files(self, visit_ids: list[str]) -> set[str]:
        moment, visit, named = schema.moment.c, schema.visit.c, set()
        with self._database.reading() as connection:
            for first in range(0, len(visit_ids), 500):  # SQLite allows 999 parameters in its oldest builds
                chosen = visit_ids[first : first + 500]
                named |= set(connection.execute(sa.select(moment.crop).where(moment.visit_id.in_(chosen))).scalars())
                named |= set(connection.execute(sa.select(visit.clip).where(visit.id.in_(chosen))).scalars())
        return named
