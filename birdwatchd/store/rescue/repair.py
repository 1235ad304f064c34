"""Mend the database of a home that nobody uses just now: rebuild its indexes, or save its rows into a new one.

All work is done on a copy in a folder beside it. The old file is never changed: it is kept under a dated name, and the
new one takes its place in one step, so that a repair that is cut short at any moment can be begun again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from birdwatchd.errors import StoreBusy, StoreError, StoreFull, StoreTooNew
from birdwatchd.store.database import FILE_NAME, Database
from birdwatchd.store.media import home_lock
from birdwatchd.store.rescue.examine import DatabaseFindings, examine_database
from birdwatchd.store.rescue.salvage import UNREADABLE, Salvaged, mend_schema, open_raw, salvage
from birdwatchd.store.rescue.sums import rebuild_marks, rebuild_sums
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["Repaired", "check_owner", "repair_database"]

WORK_NAME = ".doctor"  # folder below home; what an interrupted repair left in it is deleted by the next one
MOST_CUT_OFF = 100  # times the size that is left
_SHARED_FIRST, _SHARED_SIZE = (
    0x40000002,
    510,
)  # bytes that every user of an SQLite file locks (www.sqlite.org/fileformat2)


@dataclass(frozen=True, slots=True)
class Repaired:
    """How a database was mended.

    Attributes:
        kept: the old file, under its dated name; None where there was none.
        salvaged: what was saved; None where new indexes and sums were enough.
    """

    kept: Path | None
    salvaged: Salvaged | None


def check_owner(home: Path) -> None:
    """Refuse to write as root what birdwatchd could then not change.

    Raises:
        StoreError: the home belongs to another user.
    """
    path = home / FILE_NAME
    owner = (path if path.exists() else home).stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        raise StoreError(f"{home}: belongs to another user than root", f"run it as that user: sudo -u '#{owner}' …")


def repair_database(home: Path, findings: DatabaseFindings, now: datetime) -> Repaired:
    """Put a sound database in the place of a damaged one.

    Args:
        now: for the dated name of the old file.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
        StoreBusy: birdwatchd is running.
        StoreFull: no room for a copy and a new database.
        StoreError: it cannot be read or written.
    """
    path = home / FILE_NAME
    if findings.is_newer:
        raise StoreTooNew(f"{path}: was written by a newer birdwatchd", "install that version again; it can repair it")
    with store_errors(path), home_lock(home, shared=False):
        _refuse_in_use(path)
        with _work_folder(home) as work:
            _require_room(path, work)
            copy = _copied(path, work)
            fresh, salvaged = _empty(work / "new"), None
            if copy is not None and not findings.version:
                mend_schema(copy, fresh)
            if copy is None or findings.unreadable or not findings.version or not _reindexed(copy):
                copy = copy or _empty(work / "none")
                salvaged = salvage(copy, fresh)
                copy = fresh
            _close_log(copy)
            return Repaired(_put_in_place(path, copy, now), salvaged)


def _refuse_in_use(path: Path) -> None:
    """Raise StoreBusy while another process has the database open; call it before this one opens it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except BlockingIOError:
            raise StoreBusy(f"{path}: is open in another process", "stop birdwatchd, then try again") from None


@contextmanager
def _work_folder(home: Path) -> Iterator[Path]:
    work = home / WORK_NAME
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _require_room(path: Path, work: Path) -> None:
    size = sum(file.stat().st_size for file in (path, _log_of(path)) if file.exists())
    free = shutil.disk_usage(work).free
    if free < 3 * size:  # a copy, what `.recover` finds, and the new database
        raise StoreFull(
            f"{path.parent}: {free >> 20} MB are free, {(3 * size >> 20) + 1} are needed", "free some space"
        )


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _copied(path: Path, work: Path) -> Path | None:
    """A copy of the database with its write-ahead log; None where there is nothing in it."""
    copy = work / "old.sqlite3"
    if not path.exists() or path.stat().st_size == 0:
        return None
    shutil.copyfile(path, copy)
    if _log_of(path).exists():
        shutil.copyfile(_log_of(path), _log_of(copy))
    _lengthen(copy)
    return copy


def _lengthen(copy: Path) -> None:
    """Give a file that was cut off the length that its header says: SQLite opens no shorter one."""
    with copy.open("rb") as file:
        header = file.read(100)
    page, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")  # a page of 1 is 65,536
    size, wanted = copy.stat().st_size, (65_536 if page == 1 else page) * pages
    if size < wanted <= MOST_CUT_OFF * size:  # more is a damaged header
        os.truncate(copy, wanted)


def _empty(folder: Path) -> Path:
    """A new database of this version."""
    Database.open(folder).close(checkpoint=True)
    return folder / FILE_NAME


def _reindexed(copy: Path) -> bool:
    """Whether new indexes, and sums that are counted anew, make a database sound."""
    try:
        with closing(open_raw(copy)) as connection:
            connection.execute("REINDEX")
            connection.execute("BEGIN")
            rebuild_sums(connection)
            rebuild_marks(connection)
            connection.execute("COMMIT")
    except UNREADABLE:
        return False
    folder = copy.parent / "reindexed"  # to be looked at as a home is
    folder.mkdir()
    os.rename(copy, folder / FILE_NAME)
    if _log_of(copy).exists():
        os.rename(_log_of(copy), _log_of(folder / FILE_NAME))
    sound = not examine_database(folder).is_damaged
    for file in list(folder.iterdir()):
        name = file.name.replace(FILE_NAME, copy.name)
        os.rename(file, copy.parent / name)
    return sound


def _close_log(path: Path) -> None:
    """Move everything into the one file, and that to the disk."""
    with closing(open_raw(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _put_in_place(path: Path, new: Path, now: datetime) -> Path | None:
    """Keep the old file under a dated name, and let the new one take its place; returns the old one's new path.

    The old log goes first: SQLite would apply it to whatever file lies beside it.
    """
    kept = path.with_name(f"{path.name}.damaged-{now:%Y%m%d-%H%M%S}")
    has_old = path.exists() and path.stat().st_size > 0
    if has_old:
        shutil.copymode(path, new)
        try:
            os.link(path, kept)
        except OSError:  # a file system without links
            shutil.copyfile(path, kept)
    if _log_of(path).exists() and _log_of(path).stat().st_size > 0:
        os.rename(_log_of(path), _log_of(kept))
    _log_of(path).unlink(missing_ok=True)
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return kept if has_old or _log_of(kept).exists() else None
