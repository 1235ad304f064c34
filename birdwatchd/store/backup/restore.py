"""Bring a home back from a backup: pictures and clips first, the database last, so that a killed restore is none.

Only when everything is there and the copied database is verified does it get its name. Until then a home that was
empty has no database, and one that is replaced has the one that it had.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from birdwatchd.errors import ConfigError, StoreBusy, StoreError
from birdwatchd.store.backup.database_copy import (
    media_named_in,
    open_copy,
    put_in_place,
    remove_part,
    sync_file_system,
    verify,
)
from birdwatchd.store.backup.folder import BackupFolder, folder_errors
from birdwatchd.store.backup.holders import holders
from birdwatchd.store.backup.media_copy import Copied, MediaCopier
from birdwatchd.store.database import FILE_NAME
from birdwatchd.store.media import MARK_NAME, PRIVATE, home_lock
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["Restored", "restore"]

UNFINISHED_NAME = "birdwatchd.restoring"  # a home that holds it and no database was not finished


@dataclass(frozen=True, slots=True)
class Restored:
    """A home that is complete again.

    Attributes:
        database: the one of the backup that was taken.
        replaced: where the database is kept that was there before, if there was one.
    """

    database: Path
    visits: int
    media: Copied
    replaced: Path | None


def restore(
    folder: Path,
    home: Path,
    *,
    name: str | None = None,
    replace: bool = False,
    on_file: Callable[[], None] = lambda: None,
) -> Restored:
    """Bring a backup into `home`, which is made if it is not there.

    Args:
        name: which backup, as `BackupFolder.choose` takes it; None for the newest.
        replace: also into a home that has visits; its database is kept beside the new one.
        on_file: called for each picture and clip.

    Raises:
        ConfigError: the home is not empty, or is the folder itself.
        StoreBusy, StoreFull, StoreError: nothing was restored; a database that was there is as it was.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder}: does not exist", "give the folder that `birdwatchd backup` wrote to")
    if folder.resolve() == home.resolve():
        raise ConfigError(f"{folder}: is the home itself", "give the folder that `birdwatchd backup` wrote to")
    backups = BackupFolder(folder)
    with folder_errors(folder), backups.lock(shared=True):
        chosen = backups.choose(name)
        visits = verify(chosen)
        if not replace:
            _check_empty(home)
        with store_errors(home):
            home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            with _kept_out(home / FILE_NAME) as whole:
                return _bring(chosen, home, visits, on_file, whole=whole)


def _bring(chosen: Path, home: Path, visits: int, on_file: Callable[[], None], *, whole: bool) -> Restored:
    owner = _owner_of(home)
    (home / UNFINISHED_NAME).write_text(f"{chosen}\n", encoding="utf-8")
    media = MediaCopier(chosen.parent, home, owner)
    with closing(open_copy(chosen)) as connection:
        for name in media_named_in(connection):
            media.copy_named(name)
            on_file()
    part = home / f".{FILE_NAME}.part"
    remove_part(part)
    with ExitStack() as undo:
        undo.callback(remove_part, part)
        shutil.copyfile(chosen, part)
        if owner is not None:
            os.chown(part, *owner)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        verify(part)
        sync_file_system(home)
        with home_lock(home, shared=False):
            replaced = _put_aside(home / FILE_NAME, chosen, whole=whole)
            put_in_place(part, home / FILE_NAME)
    (home / "media" / MARK_NAME).unlink(missing_ok=True)  # so that the next start looks into every folder
    (home / UNFINISHED_NAME).unlink()
    return Restored(chosen, visits, media.copied, replaced)


def _check_empty(home: Path) -> None:
    """Refuse a home that somebody has visits in.

    Raises:
        ConfigError: it has a database, pictures or clips, and they are not those of a restore that was cut short.
    """
    hint = "choose an empty home, or use --replace; the database that is there is then kept beside the new one"
    if (home / FILE_NAME).exists():
        raise ConfigError(f"{home}: has a database", hint)
    media = home / "media"
    if not (home / UNFINISHED_NAME).exists() and any(files for _, _, files in os.walk(media)):
        raise ConfigError(f"{home}: has pictures or clips", hint)


@contextmanager
def _kept_out(database: Path) -> Iterator[bool]:
    """Hold a database that is about to be replaced, so that no daemon has it open, and empty its write-ahead log.

    Gives whether the file has all of its visits now; a damaged one may still have some in the log.

    Raises:
        StoreBusy: another process has it open.
    """
    if not database.exists():
        yield True
        return
    whole = False
    connection = sqlite3.connect(database, timeout=0, isolation_level=None)
    with closing(connection):
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            whole = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0] == "delete"
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise _has_it_open(database) from error
            raise
        except sqlite3.DatabaseError:  # damaged, which is why somebody restores a backup
            connection.close()
        yield whole


def _has_it_open(database: Path) -> StoreBusy:
    """Who does, and what to stop: the service, or a command such as `birdwatchd web` that runs besides."""
    found = holders(database)
    if not found:
        hint = "stop birdwatchd first (systemctl stop birdwatchd), and `birdwatchd web` where that runs by itself"
        return StoreBusy(f"{database}: another process has it open", hint)
    runs = [one for one in found if one.command == "birdwatchd run"]
    others = [one for one in found if one not in runs]
    stop = (["systemctl stop birdwatchd"] if runs else []) + [f"kill {one.pid}" for one in others]
    who = "; ".join(str(one) for one in found)
    return StoreBusy(f"{database}: another process has it open ({who})", f"stop it first: {', '.join(stop)}")


def _put_aside(database: Path, chosen: Path, *, whole: bool) -> Path | None:
    """Keep the database that is about to be replaced under another name; it keeps its own as well until then.

    A new database must never meet what SQLite left beside the old one. Logs go with the old one where it needs them;
    the index of the write-ahead log (-shm) is made anew from the log.

    Args:
        whole: the file has all of its visits, and needs nothing of what lies beside it.
    """
    logs = [database.with_name(database.name + ending) for ending in ("-wal", "-journal")]
    if whole:
        for log in logs:
            log.unlink(missing_ok=True)
    database.with_name(f"{database.name}-shm").unlink(missing_ok=True)
    if not database.exists():
        return None
    stamp = chosen.name.removeprefix("birdwatchd-").removesuffix(".sqlite3")
    aside, number = database.with_name(f"birdwatchd-replaced-by-{stamp}.sqlite3"), 2
    while aside.exists():
        aside, number = database.with_name(f"birdwatchd-replaced-by-{stamp}-{number}.sqlite3"), number + 1
    _second_name(database, aside)
    for log in logs:
        if log.exists():
            os.replace(log, aside.with_name(aside.name + log.name.removeprefix(database.name)))
    return aside


def _second_name(path: Path, other: Path) -> None:
    try:
        os.link(path, other)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        os.replace(path, other)  # a file system without links: the home has no database for a moment


def _owner_of(home: Path) -> tuple[int, int] | None:
    """Whom the restored files are to belong to: root restores for the user of the service."""
    if os.geteuid() != 0:
        return None
    facts = home.stat()
    return facts.st_uid, facts.st_gid
