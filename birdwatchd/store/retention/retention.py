"""Carry retention out in small steps, next to a daemon that is recording: rows first, then their files.

A step is one short transaction, so that the record stage never waits for more than that. Where the disk is so full that
not even the row can be changed, the file goes first; the row follows as soon as there is room.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.disk import DiskRoom
from birdwatchd.errors import StoreBusy, StoreFull, StoreUnavailable
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.media import forget_made, home_lock
from birdwatchd.store.retention.days import Folders
from birdwatchd.store.retention.going import add_going, forget_gone
from birdwatchd.store.retention.plan import Plan, Usage
from birdwatchd.store.retention.value import Item, Kind
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["Deleted", "Retention"]

STEP = 16  # visits changed in one transaction
SETTLED_DAYS = 2  # an empty folder of an older day is removed: nothing new is written there


@dataclass(slots=True)
class Deleted:
    """What went.

    Attributes:
        pictures: files; `of_visits` is how many visits they were of.
        visits: that went themselves.
        size: bytes of files.
    """

    clips: int = 0
    pictures: int = 0
    of_visits: int = 0
    visits: int = 0
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.clips or self.pictures or self.visits)

    @property
    def text(self) -> str:
        """For people: `3 clips, 120 pictures of 15 visits (5.9 MB)`."""
        pictures = f"{self.pictures:,} pictures of {self.of_visits:,} visits" if self.pictures else ""
        counts = [f"{self.clips:,} clips" if self.clips else "", pictures]
        counts.append(f"{self.visits:,} visits" if self.visits else "")
        return f"{', '.join(filter(None, counts)) or 'nothing'} ({self.size / 1e6:,.1f} MB)"

    def add(self, other: Deleted) -> None:
        """Count what another step deleted."""
        self.clips += other.clips
        self.pictures += other.pictures
        self.of_visits += other.of_visits
        self.visits += other.visits
        self.size += other.size


@dataclass(slots=True)
class Retention:
    """Retention of one home. Belongs to one thread."""

    database: Database
    limits: RetentionSettings
    folders: Folders = field(init=False)
    _owed: list[Item] = field(default_factory=list)  # their files are gone, their rows still name them
    _gone: set[str] = field(default_factory=set)  # files that are gone, and are written down as going

    def __post_init__(self) -> None:
        self.folders = Folders(self.database.home)

    def usage(self) -> Usage:
        """What the home takes now.

        Raises:
            StoreBusy, StoreError: it cannot be read.
        """
        with store_errors(self.database.path):
            clips, pictures = self.folders.measure()
            room = DiskRoom.at(self.database.home)
        with self.database.reading() as connection:
            pages, unused, size = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
                for name in ("page_count", "freelist_count", "page_size")
            )
            visits = int(connection.execute(sa.select(sa.func.count()).select_from(schema.visit)).scalar_one())
        return Usage(clips, pictures, (pages - unused) * size, visits, room.free, room.enough)

    def plan(self, now: datetime, limits: RetentionSettings | None = None) -> Plan:
        """What goes for the limits (or for some of them), as of now.

        Raises:
            StoreBusy, StoreError: the home cannot be read.
        """
        return Plan(self.database, self.folders, limits or self.limits, self.usage(), now)

    def steps(self, items: Iterator[Item], now: datetime) -> Iterator[Deleted]:
        """Delete what a plan gives, a few things at each `next`.

        Raises:
            StoreBusy: go on later with a new plan.
            StoreFull, StoreError: no file went, or nothing can be deleted.
        """
        while step := list(islice(items, STEP)):
            yield self.delete(step, now)
        self.settle()

    def delete(self, items: Sequence[Item], now: datetime) -> Deleted:
        """Delete some things; those that a person has reviewed since they were planned stay.

        Raises:
            StoreBusy: nothing was deleted.
            StoreFull, StoreError: files are gone where that was possible; rows that name them are changed later.
        """
        home = self.database.home
        folders = sorted({(home / name).parent for item in items for name in item.files})
        try:
            done = self._change_rows(items)
            self._remove_files(done)
        except StoreFull:
            self._remove_files(items)  # there is room now, if only for this
            self._owed += items
            done = self._change_rows(items)
        _remove_empty(home, folders, now)
        return _counted(done)

    def _change_rows(self, items: Sequence[Item]) -> list[Item]:
        with self.database.writing(durable=True) as connection:
            for item in self._owed:
                _change_row(connection, item)
            done = [item for item in items if item in self._owed or _change_row(connection, item)]
            add_going(connection, (name for item in done if item not in self._owed for name in item.files))
            forget_gone(connection, self._gone)
        self._owed.clear()
        self._gone.clear()
        return done

    def _remove_files(self, items: Sequence[Item]) -> None:
        for name in (name for item in items for name in item.files):
            try:
                (self.database.home / name).unlink(missing_ok=True)
            except OSError:  # the next start tries again
                continue
            forget_made(self.database.home, name)
            self._gone.add(name)

    def settle(self) -> None:
        """Strike out what was deleted last; where that cannot be done now, the next step or start does it."""
        if self._gone:
            with suppress(StoreUnavailable), self.database.writing() as connection:
                forget_gone(connection, self._gone)
                self._gone.clear()


def _change_row(connection: Connection, item: Item) -> bool:
    """Let the rows of an item name its files no more, or delete them; False if it was reviewed meanwhile."""
    visit, moment = schema.visit, schema.moment
    if item.value.by_age:
        reviewed = sa.select(schema.review.c.id).where(schema.review.c.visit_id == item.visit_id).limit(1)
        if connection.execute(reviewed).first() is not None:
            return False
    if item.kind is Kind.VISIT:
        connection.execute(sa.delete(visit).where(visit.c.id == item.visit_id))
    elif item.kind is Kind.CLIP:
        mine = sa.update(visit).where(visit.c.id == item.visit_id, visit.c.clip.in_(item.files))
        connection.execute(mine.values(clip=None, clip_cut=None))
    else:
        pictures = sa.update(moment).where(moment.c.visit_id == item.visit_id, moment.c.crop.in_(item.files))
        connection.execute(pictures.values(crop=None))
    return True


def _counted(items: Sequence[Item]) -> Deleted:
    pictures = [item for item in items if item.kind is Kind.PICTURES]
    return Deleted(
        clips=sum(item.kind is Kind.CLIP for item in items),
        pictures=sum(len(item.files) for item in pictures),
        of_visits=len({item.visit_id for item in pictures}),
        visits=sum(item.kind is Kind.VISIT for item in items),
        size=sum(item.size for item in items if item.files),
    )


def _remove_empty(home: Path, folders: Sequence[Path], now: datetime) -> None:
    """Remove folders of older days that are empty now, unless somebody is just recording."""
    empty = [folder for folder in folders if _is_settled(folder, now) and not any(os.scandir(folder))]
    if not empty:
        return
    with suppress(StoreBusy), home_lock(home, shared=False):
        for folder in empty:
            with suppress(OSError):  # it is not empty
                for one in (folder, *folder.parents[:2]):  # the day, its month, its year
                    one.rmdir()


def _is_settled(folder: Path, now: datetime) -> bool:
    try:
        day = datetime(*(int(part) for part in folder.parts[-3:]), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return False
    return (now - day).days > SETTLED_DAYS and folder.is_dir()
