"""Open the database of a home, and give each caller the door that it needs.

`StoreReader` only reads: opening it creates nothing, so that a mistyped `--home` is an error and not an empty answer.
`Store` also writes, and has a door for each purpose: visits, messages, retained topics, cameras, effort, recordings.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from birdwatchd.errors import StoreInUse
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store.alert_log import Decide
from birdwatchd.store.camera_state import Cameras, Effort
from birdwatchd.store.database import Database, require_database
from birdwatchd.store.embeddings import Embeddings
from birdwatchd.store.examples import Examples
from birdwatchd.store.media import LOST, Media, Swept, home_lock
from birdwatchd.store.news import Compose
from birdwatchd.store.outbox import AnnouncedTopics, Outbox, ReportedFaults
from birdwatchd.store.pages.cards import Cards
from birdwatchd.store.pages.history import Histories
from birdwatchd.store.pages.species import SpeciesSeen
from birdwatchd.store.reader import Visits
from birdwatchd.store.retention.going import finish_going
from birdwatchd.store.retention.retention import Retention
from birdwatchd.store.revision import Setup
from birdwatchd.store.scans import Scans
from birdwatchd.store.sqlite_errors import store_errors
from birdwatchd.store.timekeeping.stretches import Clocks, Stretch, stretches
from birdwatchd.store.writer import Writer

__all__ = ["OWNER_NAME", "Store", "StoreReader", "is_recorded_into", "recording_process"]

OWNER_NAME = "birdwatchd.pid"
CLAIMS, CLAIM_PAUSE_S = 5, 0.02  # tries to hold a home, and seconds between two: who only looks holds it for less

log = logging.getLogger(__name__)


class _Owner:
    """The hold of one process on a home: only one at a time records into it.

    Two would end each other's visits as interrupted, sweep up each other's crops, and answer the broker under one name.
    Reading, reviewing and backing up need no such hold. The system lets go of it for a process that dies.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def claim(cls, home: Path, command: str) -> Self:
        """Become the one that records into a home.

        Args:
            home: an existing folder.
            command: what this process does, such as `run`; shown to whoever comes second.

        Raises:
            StoreInUse: another process is; says which.
            OSError: the file cannot be made.
        """
        descriptor = os.open(home / OWNER_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _hold(descriptor)
        except BlockingIOError:
            pid, _, doing = os.read(descriptor, 200).decode("utf-8", "replace").strip().partition(" ")
            os.close(descriptor)
            who = f"birdwatchd {doing or '(starting)'}, pid {pid or 'unknown'}"
            hint = "wait for it or stop it, or give this one a home of its own"
            raise StoreInUse(f"{home} is recorded into by another process ({who})", hint) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {command}\n".encode(), 0)
        return cls(descriptor)

    def close(self) -> None:
        """Let the next one record."""
        with suppress(OSError):  # the disk fails, or became read-only: an old note does no harm
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _hold(descriptor: int) -> None:
    """Hold a file alone; tried a few times, since `is_recorded_into` holds it for a moment.

    Raises:
        BlockingIOError: another process holds it.
    """
    for _ in range(CLAIMS - 1):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(CLAIM_PAUSE_S)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_recorded_into(home: Path) -> bool | None:
    """Whether a process records into a home; None where none ever did, or that cannot be seen."""
    try:
        with (home / OWNER_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not there, or on a disk without locks
        return None
    return False


def recording_process(home: Path) -> str:
    """Which process records into a home, as it wrote it down: `run, pid 77`; empty if none does."""
    try:
        pid, _, doing = (home / OWNER_NAME).read_text("utf-8").strip().partition(" ")
    except (OSError, ValueError):
        return ""
    return f"{doing}, pid {pid}" if pid.isdecimal() and Path(f"/proc/{pid}").exists() else ""


class StoreReader:
    """What can be read of a home. Safe to use from several threads and next to other processes.

    Everything that the doors do raises StoreBusy, StoreFull or StoreError as `birdwatchd.errors` says.

    Attributes:
        path: of the database file.
        visits, embeddings, examples, outbox, effort, cards, species, histories: the doors, each see its class.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.home, self.path = database.home, database.path
        self.visits = Visits(database)
        self.embeddings = Embeddings(database)
        self.examples = Examples(database)
        self.outbox = Outbox(database)
        self.effort = Effort(database)
        self.cards, self.species, self.histories = Cards(database), SpeciesSeen(database), Histories(database)

    @classmethod
    def open_existing(cls, home: Path) -> StoreReader:
        """Open a home for reading; create and change nothing.

        Raises:
            StoreError, StoreTooOld: there is no database, or it is empty or an older birdwatchd's.
            StoreTooNew, StoreDamaged: a newer birdwatchd's, or none that can be read.
        """
        return StoreReader(Database.open_existing(home))

    def retention(self, limits: RetentionSettings) -> Retention:
        """What goes for these limits; only that of a `Store` can delete it."""
        return Retention(self._database, limits)

    def stretches(self) -> list[Stretch]:
        """In which stretches of even time visits were stamped, oldest first."""
        return stretches(self._database)

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
        retained, reported_faults, cameras, scans, clocks: the doors, each see its class.
    """

    def __init__(self, database: Database, zone: ZoneInfo, without_pictures: Collection[str] = ()) -> None:
        super().__init__(database)
        self.zone, self._media = zone, Media(database.home, without_pictures)
        self.retained = AnnouncedTopics(database)
        self.reported_faults = ReportedFaults(database)
        self.cameras = Cameras(database, self._media, zone)
        self.scans = Scans(database, self._media)
        self.clocks = Clocks(database, zone)
        self._owner: _Owner | None = None

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        zone: ZoneInfo,
        check: bool = False,
        without_pictures: Collection[str] = (),
        existing: bool = False,
    ) -> Store:
        """Open a home, creating or upgrading what is needed.

        Args:
            zone: whose midnight ends a day, for "first today".
            existing: a home without a database is refused: what is to be changed there can only be elsewhere.
            check: first look through the database for damage, for 2 s at most.
            without_pictures: cameras of which no picture is kept or sent.

        Raises:
            StoreTooNew: a newer birdwatchd wrote it.
            StoreDamaged: only `birdwatchd doctor` can mend it.
            StoreBusy, StoreFull, StoreError: it cannot be opened now, or at all.
        """
        if existing:
            require_database(home)
        return cls(Database.open(home, check=check), zone, without_pictures)

    def claim(self, command: str) -> None:
        """Become the one process that records into this home, until `close`; `command` is what it does, such as `run`.

        Raises:
            StoreInUse: another process is.
            StoreError: the file that says so cannot be made.
        """
        with store_errors(self.path):
            self._owner = _Owner.claim(self.home, command)

    def writer(self, compose: Compose | None = None, decide: Decide | None = None) -> Writer:
        """The door through which visits are written.

        Args:
            compose: writes the messages about a visit; None where nobody is to get any.
            decide: says which alert rules fire; None where there are none.
        """
        return Writer(self._database, Setup(self._media, self.zone, compose, decide))

    def close(self) -> None:
        """Move everything into the one database file and let go of it."""
        try:
            self._database.close(checkpoint=True)
        finally:
            if self._owner is not None:
                self._owner.close()
                self._owner = None

    def sweep(self, now: datetime) -> Swept:
        """Move crops and clips that no row names to `lost+found/`, and delete unfinished files. Call it at start.

        Looks only into day folders that changed since the last sweep (see `Media.sweep`), and waits for other
        processes that are just recording.
        """
        with self._database.lock, store_errors(self.path), home_lock(self.home, shared=False):
            finish_going(self._database, self._media)
            swept = self._media.sweep(self._database.named_files, now)
        if swept.moved:
            log.warning(
                "moved %d pictures and clips that no row names to %s; `birdwatchd doctor` says what they are",
                swept.moved,
                self.home / LOST,
            )
        if swept.left:
            log.warning("%d pictures and clips that no row names stay where they are: %s", swept.left, swept.problem)
        return swept
