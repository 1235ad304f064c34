"""Back a home up while the daemon runs: database, pictures and clips, and of these only what is not there yet.

The order makes it safe to be killed at any moment: an unfinished database, then the files that it names, then the
database's name; only after that older databases and the files that none names any more go.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from birdwatchd.errors import ConfigError, StoreError, StoreFull
from birdwatchd.store.backup.database_copy import (
    copy_database,
    media_named_in,
    open_copy,
    put_in_place,
    remove_part,
    sync_file_system,
    verify,
)
from birdwatchd.store.backup.folder import BackupFolder, folder_errors
from birdwatchd.store.backup.last_backup import LastBackup
from birdwatchd.store.backup.media_copy import Copied, MediaCopier, remove_unnamed
from birdwatchd.store.database import FILE_NAME, refuse_emptied
from birdwatchd.store.media import PRIVATE, frame_path
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["BackedUp", "back_up"]


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that is complete.

    Attributes:
        database: the file.
        visits: in it.
        media: pictures and clips; those that are `missing` are named by no row of the copy.
        removed_databases, removed_files: older ones that went.
        problem: why files that may be named by no database were left; empty where they were not.
        noted: the home says when this was, for `birdwatchd status`.
    """

    database: Path
    visits: int
    media: Copied
    removed_databases: int
    removed_files: int
    problem: str = ""
    noted: bool = True


def back_up(
    home: Path,
    folder: Path,
    now: datetime,
    *,
    machine: str,
    keep: int = 3,
    on_file: Callable[[], None] = lambda: None,
) -> BackedUp:
    """Add a backup of `home` to `folder`, which is made if only its last part is missing.

    Args:
        now: the date in its name.
        machine: name of this computer; another one's backups are refused.
        keep: databases that stay, this one included; 1 or more.
        on_file: called for each picture and clip.

    Raises:
        ConfigError: one folder lies in the other.
        StoreBusy, StoreFull, StoreError: there is no new backup; the earlier ones are as they were.
    """
    database = home / FILE_NAME
    with store_errors(database):
        refuse_emptied(database)
    if not database.is_file():
        raise StoreError(f"{database}: there is no database", "check `home`, or give --home")
    _check_apart(home, folder)
    with folder_errors(folder):
        if not folder.is_dir():
            folder.mkdir(mode=PRIVATE)
        backups = BackupFolder(folder)
        with backups.lock(shared=False):
            backups.claim(home.resolve(), machine)
            backups.remove_unfinished()
            done = _add(home, backups, now, keep, on_file)
    return replace(done, noted=LastBackup(now, str(folder.resolve()), done.visits).write(home))


def _add(home: Path, backups: BackupFolder, now: datetime, keep: int, on_file: Callable[[], None]) -> BackedUp:
    source, target = home / FILE_NAME, backups.new_database(now)
    part = target.with_name(f".{target.name}.part")
    _check_room(source, backups.path)
    visits = copy_database(source, part)
    with ExitStack() as undo:
        undo.callback(remove_part, part)
        media = MediaCopier(home, backups.path)
        missing = _copy_media(part, media, on_file)
        if missing:
            _forget_missing(part, missing)
            verify(part)
        sync_file_system(backups.path)  # the files first: the name of the database says that they are there
        put_in_place(part, target)
    removed = [path for path in backups.databases() if path != target][: -(keep - 1) or None]
    for path in removed:
        path.unlink()
    try:
        return BackedUp(target, visits, media.copied, len(removed), _remove_unnamed(backups))
    except StoreError as error:  # the new backup is complete all the same
        return BackedUp(target, visits, media.copied, len(removed), 0, error.message)


def _copy_media(part: Path, media: MediaCopier, on_file: Callable[[], None]) -> list[str]:
    missing = []
    with store_errors(part), closing(open_copy(part)) as connection:
        names = media_named_in(connection)
        for name in names:
            if not media.copy_named(name):
                missing.append(name)
            on_file()
    return missing


def _forget_missing(part: Path, missing: Sequence[str]) -> None:
    """Let no row of the copy name a file that went since (its visit has better ones by now) or that was lost before."""
    with store_errors(part), closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.create_function("casefold", 1, str.casefold, deterministic=True)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(visit)")}
        connection.execute("BEGIN")
        connection.execute("CREATE TEMP TABLE missing (name TEXT PRIMARY KEY)")
        connection.executemany("INSERT OR IGNORE INTO missing VALUES (?)", ((name,) for name in missing))
        connection.execute("UPDATE moment SET crop = NULL WHERE crop IN (SELECT name FROM missing)")
        if "clip" in columns:
            connection.execute("UPDATE visit SET clip = NULL, clip_cut = NULL WHERE clip IN (SELECT name FROM missing)")
        connection.execute("COMMIT")


def _remove_unnamed(backups: BackupFolder) -> int:
    """Delete the files that no database of the folder names any more.

    Raises:
        StoreError: one of them is damaged, so that nobody knows what it names.
    """
    with ExitStack() as stack:
        connections = {path: stack.enter_context(closing(open_copy(path))) for path in backups.databases()}
        return remove_unnamed(backups.path, lambda visit_ids: _named(connections, visit_ids))


def _named(connections: Mapping[Path, sqlite3.Connection], visit_ids: list[str]) -> set[str]:
    found: set[str] = set()
    for path, connection in connections.items():
        found |= _named_in(path, connection, visit_ids)
    return found


def _named_in(path: Path, connection: sqlite3.Connection, visit_ids: list[str]) -> set[str]:
    found: set[str] = set()
    with store_errors(path):
        columns = {row[1] for row in connection.execute("PRAGMA table_info(visit)")}
        for first in range(0, len(visit_ids), 500):
            chosen = visit_ids[first : first + 500]
            holes = ", ".join("?" * len(chosen))
            crops = f"SELECT crop FROM moment WHERE crop IS NOT NULL AND visit_id IN ({holes})"  # noqa: S608  # only ?
            found.update(name for row in connection.execute(crops, chosen) for name in (row[0], frame_path(row[0])))
            if "clip" in columns:
                clips = f"SELECT clip FROM visit WHERE clip IS NOT NULL AND id IN ({holes})"  # noqa: S608  # only ?
                found.update(row[0] for row in connection.execute(clips, chosen))
    return found


def _check_apart(home: Path, folder: Path) -> None:
    """Refuse a folder that would be lost with the home, or take part in it.

    Raises:
        ConfigError: it is the home, or lies in it.
    """
    real_home, real = home.resolve(), folder.resolve()
    if real == real_home:
        raise ConfigError(f"{folder}: is the home itself", "choose a folder on another disk")
    if real.is_relative_to(real_home):
        raise ConfigError(f"{folder}: lies in the home {home}", "choose a folder on another disk")


def _check_room(source: Path, folder: Path) -> None:
    """Raise StoreFull before hours of work where not even the database fits."""
    needed, free = source.stat().st_size, shutil.disk_usage(folder).free
    if needed > free:
        raise StoreFull(f"{folder}: the database needs {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free")
