"""Find what is wrong with a home, and change nothing: the whole database, every row, every file."""

from __future__ import annotations

import os
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from birdwatchd.errors import StoreDamaged, StoreError
from birdwatchd.store import migrations
from birdwatchd.store.database import FILE_NAME, Database, refuse_emptied
from birdwatchd.store.media import DAY_FOLDERS, LOST, Media, media_files
from birdwatchd.store.rescue.salvage import UNREADABLE, open_raw
from birdwatchd.store.rescue.sound import ROW_TABLES, sound_row
from birdwatchd.store.rescue.sums import wrong_marks, wrong_sums
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["DatabaseFindings", "MediaFindings", "examine_database", "examine_media"]

MOST_PROBLEMS = 100  # that SQLite is asked to name
_FOLDERS = 64  # whose listings are remembered
_UNAVAILABLE = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_NOMEM", "SQLITE_CANTOPEN", "SQLITE_PERM"),
    "SQLITE_READONLY",  # of somebody else's home: the index of the write-ahead log cannot be made
)


@dataclass(slots=True)
class DatabaseFindings:
    """What is wrong with a database.

    Attributes:
        exists: there is a file.
        version: of its schema; empty where that cannot be read.
        problems: what SQLite says, at most `MOST_PROBLEMS`; empty for a sound file.
        unreadable: rows with values that are not what their columns hold.
        visits: rows of the table `visit`; None where they cannot be counted.
    """

    exists: bool = True
    version: str = ""
    problems: list[str] = field(default_factory=list)
    unreadable: int = 0
    visits: int | None = None

    @property
    def is_newer(self) -> bool:
        """Whether a newer birdwatchd wrote it."""
        return bool(re.fullmatch(r"\d{4}", self.version)) and self.version > migrations.REVISIONS[-1]

    @property
    def is_older(self) -> bool:
        """Whether it has to be upgraded before it can be read."""
        return self.version in migrations.REVISIONS[:-1]

    @property
    def is_damaged(self) -> bool:
        """Whether something was lost or cannot be read."""
        return bool(self.problems or self.unreadable)


def examine_database(home: Path) -> DatabaseFindings:
    """Check the structure of the whole file, and every value in it. Takes as long as reading it twice.

    Raises:
        StoreBusy, StoreFull, StoreError: it cannot be looked at now, or not by this user.
    """
    path, found = home / FILE_NAME, DatabaseFindings()
    try:
        with store_errors(path):
            refuse_emptied(path)
    except StoreDamaged as error:
        found.problems.append(error.message.removeprefix(f"{path}: "))
        return found
    if not path.exists():
        found.exists = False
        return found
    with store_errors(path):
        if path.stat().st_size == 0:
            return found
        try:
            with closing(open_raw(path, read_only=True)) as connection:
                _examine(connection, found)
        except UNREADABLE as error:
            if str(getattr(error, "sqlite_errorname", "")).startswith(_UNAVAILABLE):
                raise
            found.problems.append(" ".join(str(error).split()))
    return found


def _examine(connection: sqlite3.Connection, found: DatabaseFindings) -> None:
    for (said,) in connection.execute(f"PRAGMA integrity_check({MOST_PROBLEMS})"):
        lines = said.decode(errors="replace").splitlines()
        found.problems += [line for line in lines if line not in ("ok", "*** in database main ***")]
    has_version = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    if has_version:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        found.version = row[0].decode(errors="replace") if row and isinstance(row[0], bytes) else ""
        if not re.fullmatch(r"\d{4}", found.version):
            found.problems.append("the version of the schema cannot be read")
            found.version = ""
    elif connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        found.problems.append("this is a database of another program, or the list of its tables is damaged")
    if not found.version or found.is_newer or found.problems:
        return
    orphans = sum(1 for _ in connection.execute("PRAGMA foreign_key_check"))
    if orphans:
        found.problems.append(f"{orphans} rows belong to rows that are gone")
    for table in ROW_TABLES:
        names = {row[1].decode() for row in connection.execute(f'PRAGMA table_info("{table.name}")')}
        columns = [column.name for column in table.columns if column.name in names]
        if not columns and found.is_older:
            continue
        select = ", ".join(f'"{name}"' for name in columns)
        rows = connection.execute(f'SELECT {select} FROM "{table.name}"')  # noqa: S608  # our own names
        found.unreadable += sum(sound_row(table, columns, row) is None for row in rows)
    if not found.is_older and not found.unreadable and (wrong := wrong_sums(connection)):
        found.problems.append(f"{wrong} sums of a species and month are wrong")
    if not found.is_older and not found.unreadable and (wrong := wrong_marks(connection)):
        found.problems.append(f"{wrong} visits say wrongly whether they are reviewed")
    (found.visits,) = connection.execute("SELECT count(*) FROM visit").fetchone()


@dataclass(slots=True)
class MediaFindings:
    """What is wrong with pictures and clips.

    Attributes:
        crops, clips: below `media/`.
        unnamed_crops, unnamed_clips: of them, those that no row names and none will name.
        missing_crops, missing_clips: that rows name, and that are not there.
        lost: files in `lost+found/`, and their `lost_bytes`.
        denied: folders that may not be looked into.
    """

    crops: int = 0
    clips: int = 0
    unnamed_crops: int = 0
    unnamed_clips: int = 0
    missing_crops: int = 0
    missing_clips: int = 0
    lost: int = 0
    lost_bytes: int = 0
    denied: int = 0


def examine_media(home: Path, now: datetime, *, database: bool) -> MediaFindings:
    """Compare files and rows in both directions.

    Args:
        now: to tell how old a clip is.
        database: whether it can be read; else every file is taken for one that no row names.

    Raises:
        StoreBusy, StoreFull, StoreError: it cannot be looked at.
    """
    found, path = MediaFindings(), home / FILE_NAME
    with store_errors(path):
        if database:
            with closing(Database.open_existing(home)) as opened:
                _count_files(home, opened.named_files, now, found)
            with closing(open_raw(path, read_only=True)) as connection:
                _count_missing(home, connection, found)
        else:
            _count_files(home, lambda visit_ids: set(), now, found)
        _count_lost(home, found)
    return found


def _count_files(
    home: Path,
    named: Callable[[list[str]], set[str]],
    now: datetime,
    found: MediaFindings,
) -> None:
    media = Media(home)
    for folder in _day_folders(media.root, found):
        files = [file for file in media_files(home, folder) if not file.unfinished]
        found.crops += sum(file.index is not None for file in files)
        found.clips += sum(file.index is None for file in files)
        for file in media.strays(folder, named, now)[0]:
            if not file.unfinished:
                found.unnamed_crops += file.index is not None
                found.unnamed_clips += file.index is None


def _count_missing(home: Path, connection: sqlite3.Connection, found: MediaFindings) -> None:
    listings: OrderedDict[str, set[str]] = OrderedDict()

    def is_there(name: str) -> bool:
        folder, _, file = name.rpartition("/")
        if folder not in listings:
            try:
                listings[folder] = set(os.listdir(home / folder))
            except OSError:
                listings[folder] = set()
            if len(listings) > _FOLDERS:
                listings.popitem(last=False)
        return file in listings[folder]

    for (crop,) in connection.execute("SELECT crop FROM moment WHERE crop IS NOT NULL ORDER BY rowid"):
        found.missing_crops += not is_there(crop.decode())
    for (clip,) in connection.execute("SELECT clip FROM visit WHERE clip IS NOT NULL ORDER BY rowid"):
        found.missing_clips += not is_there(clip.decode())


def _count_lost(home: Path, found: MediaFindings) -> None:
    for folder in _day_folders(home / LOST / "media", found):
        for file in media_files(home, folder):
            found.lost += 1
            found.lost_bytes += (home / file.name).stat().st_size


def _day_folders(root: Path, found: MediaFindings) -> Iterator[Path]:
    try:
        root.exists()
    except PermissionError as error:
        raise StoreError(f"{root.parent}: {error.strerror}", "let birdwatchd's user read it") from None
    for folder in sorted(root.glob(DAY_FOLDERS)):
        if os.access(folder, os.R_OK | os.X_OK):
            yield folder
        else:
            found.denied += 1
