"""Copy a database that others are writing to, and read the copy back before anybody relies on it.

SQLite's own backup copies the pages of one moment, whatever is written meanwhile; `cp` would mix several moments. A
copy holds everything in one file (no write-ahead log), so that it can be read on a disk that cannot be written.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from birdwatchd.errors import StoreError, StoreTooNew
from birdwatchd.store import migrations
from birdwatchd.store.sqlite_errors import store_errors

__all__ = [
    "copy_database",
    "keep_before_migration",
    "media_named_in",
    "open_copy",
    "put_in_place",
    "remove_part",
    "schema_version",
    "stamp_of",
    "sync_file_system",
    "verify",
]

log = logging.getLogger(__name__)

PAGES = 2048  # copied between two calls of `on_pages`: 8 MB
BUSY_TIMEOUT_S = 10.0
KEPT_BEFORE_MIGRATION = 3  # copies; the oldest goes when a fourth comes
_BEFORE = re.compile(r"birdwatchd-before-(?P<revision>[0-9a-z]+)-(?P<stamp>\d{8}T\d{6}Z)\.sqlite3")


def stamp_of(at: datetime) -> str:
    """A time as it stands in file names: `20260501T063000Z`, which sorts."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def copy_database(source: Path, part: Path, on_pages: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Copy the database as it is at this moment to `part`, sync it, and verify it as it stands on the disk.

    Returns how many visits it has.

    Writers are not held up; the write-ahead log of the source grows until the copy is done.

    Args:
        part: the file to write; the caller renames it once all that it names is there. Deleted if this fails.
        on_pages: is told how many pages are copied, and of how many.

    Raises:
        StoreBusy, StoreFull, StoreError: there is no copy; the source is as it was.
    """
    remove_part(part)
    with ExitStack() as undo:
        undo.callback(remove_part, part)
        with store_errors(source), closing(_connect(source, "mode=ro")) as reading:
            reading.execute("BEGIN")
            if schema_version(reading, source) is None:  # the moment that is copied begins
                raise StoreError(f"{source}: holds no visits yet", "start `birdwatchd run` once")
            with store_errors(part), closing(sqlite3.connect(part, isolation_level=None)) as writing:
                writing.execute("PRAGMA synchronous=OFF")  # it is synced below, once
                reading.backup(writing, pages=PAGES, progress=lambda status, left, total: on_pages(total - left, total))
                writing.execute("PRAGMA journal_mode=DELETE")
        with store_errors(part):
            _sync(part)
        visits = verify(part, copied_from=source)
        undo.pop_all()
    return visits


def verify(path: Path, *, copied_from: Path | None = None) -> int:
    """Read a copy whole and check it; returns how many visits it has.

    Args:
        copied_from: the database that it was just copied from, which is then the damaged one.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
        StoreError: it is damaged, or not a database of birdwatchd.
    """
    with store_errors(path), closing(open_copy(path)) as connection:
        try:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            if not getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise
            found = str(error)
        if found != "ok":
            why = " ".join(found.split())
            if copied_from is not None:
                hint = "nothing was copied, and earlier backups are as they were; bring one back with `restore`"
                raise StoreError(f"{copied_from}: the database is damaged ({why})", hint)
            raise StoreError(f"{path}: this backup is damaged ({why})", "choose an earlier one with --at")
        if schema_version(connection, path) is None:
            raise StoreError(f"{path}: is not a database of birdwatchd", "choose another file")
        return int(connection.execute("SELECT count(*) FROM visit").fetchone()[0])


def open_copy(path: Path) -> sqlite3.Connection:
    """A connection to a copy that nobody changes; needs no right to write beside it."""
    return _connect(path, "mode=ro&immutable=1")


def schema_version(connection: sqlite3.Connection, path: Path) -> str | None:
    """The version of a database's schema; None where there is none yet.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is not None and row[0] not in migrations.REVISIONS:
        newest = migrations.REVISIONS[-1]
        raise StoreTooNew(
            f"{path}: was written by a newer birdwatchd (schema {row[0]}, not {newest})", "install that version"
        )
    return None if row is None else str(row[0])


def media_named_in(connection: sqlite3.Connection) -> Iterator[str]:
    """The paths, relative to home, of the pictures and clips that the rows of a database name; of any version."""
    for (name,) in connection.execute("SELECT crop FROM moment WHERE crop IS NOT NULL ORDER BY visit_id, idx"):
        yield name
    columns = {row[1] for row in connection.execute("PRAGMA table_info(visit)")}
    if "clip" in columns:
        for (name,) in connection.execute("SELECT clip FROM visit WHERE clip IS NOT NULL ORDER BY id"):
            yield name


def put_in_place(part: Path, target: Path) -> None:
    """Give a finished file its name; after that it is there also if the power fails.

    Raises:
        OSError: it could not be renamed.
    """
    os.replace(part, target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(folder: Path) -> None:
    """Wait until all that was written to the file system of a folder is on its disk (syncfs(2)); others go on.

    Raises:
        OSError: the disk did not take it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def remove_part(part: Path) -> None:
    """Delete an unfinished copy, with what SQLite wrote beside it."""
    for ending in ("", "-journal", "-wal", "-shm"):
        with suppress(OSError):
            part.with_name(f"{part.name}{ending}").unlink()


def keep_before_migration(path: Path, revision: str) -> Path | None:
    """Copy a database before it is upgraded, beside it; the newest 3 copies are kept. None if it is still empty.

    Call it while the database is locked for writing. The name has the version that it is upgraded to, and when it was
    last changed: `birdwatchd-before-0008-20260501T063000Z.sqlite3`.

    Raises:
        StoreFull, StoreError: there is no copy, so do not upgrade.
    """
    with store_errors(path):
        with closing(_connect(path, "mode=ro")) as connection:
            if schema_version(connection, path) is None:
                return None
        files = (path, path.with_name(f"{path.name}-wal"))
        changed_s = max(facts.st_mtime for file in files if file.exists() and (facts := file.stat()).st_size)
        stamp = stamp_of(datetime.fromtimestamp(changed_s, UTC))
        target = path.with_name(f"birdwatchd-before-{revision}-{stamp}.sqlite3")
        part = target.with_name(f".{target.name}.part")
        for stale in path.parent.glob(".birdwatchd-before-*.part*"):
            remove_part(stale)
        copy_database(path, part)
        put_in_place(part, target)
    _prune_before_migration(path.parent)
    log.info("the database is upgraded; a copy from before is kept as %s", target)
    return target


def _prune_before_migration(folder: Path) -> None:
    found = sorted((match["stamp"], path) for path in folder.iterdir() if (match := _BEFORE.fullmatch(path.name)))
    for _, path in found[:-KEPT_BEFORE_MIGRATION]:
        with suppress(OSError):
            path.unlink()


def _connect(path: Path, parameters: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{parameters}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


def _sync(path: Path) -> None:
    """Write a file to the disk, and let go of what memory holds of it, so that `verify` reads what the disk has."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
