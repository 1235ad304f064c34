"""Translate what SQLAlchemy, sqlite3, alembic and the file system raise into birdwatchd's own errors.

Callers decide by class: `StoreBusy` and `StoreFull` may be asked again, every other StoreError needs a person. The
families of SQLite's result codes are those of https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from birdwatchd.errors import StoreBusy, StoreDamaged, StoreError, StoreFull
from birdwatchd.store.schema import UnreadableValue

__all__ = ["damaged", "is_full", "migration_errors", "run_as", "store_errors"]

_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")  # PROTOCOL: others began transactions for seconds on end
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")  # SHMSIZE: no room for the index of the write-ahead log
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_FORBIDDEN = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
# What a damaged page makes of good SQL: text that is no UTF-8, a table without its name. SQLite has no code for it.
_NONSENSE = re.compile(r"could not decode to utf-8|no such (table|column|index)|unsupported file format", re.IGNORECASE)
_FAILING = "its disk fails or is read-only: look into `dmesg`, then mount it for writing"
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN_BY_SYSTEM = {errno.EACCES, errno.EPERM}


def is_full(error: OSError) -> bool:
    """Whether the disk, or what its user may have of it, is full."""
    return error.errno in _FULL_DISK


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Translate everything foreign that work on the database at `path`, or on the crops beside it, can raise.

    Raises:
        StoreBusy, StoreFull, StoreDamaged, StoreError: see `birdwatchd.errors`.
    """
    try:
        yield
    except DBAPIError as error:
        raise _from_sqlite(path, error.orig) from error
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _from_sqlite(path, error) from error
    except StatementError as error:
        raise StoreError(f"{path}: a value cannot be stored ({error.orig})", "report this as a bug") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{path}: {error}", "report this as a bug") from error
    except OSError as error:
        raise _from_system(path, error) from error
    except UnreadableValue as error:
        raise damaged(path, f"a row cannot be read ({error})") from error
    except UnicodeDecodeError as error:  # sqlite3 could not even read what SQLite says of a spoilt table
        raise damaged(path, "the database is damaged") from error


def damaged(path: Path, what: str) -> StoreDamaged:
    """The error about a database that cannot be used as it is, with the command that mends it."""
    home = shlex.quote(str(path.parent))
    return StoreDamaged(
        f"{path}: {what}",
        f"stop birdwatchd and run `birdwatchd doctor --repair --home {home}`, which keeps this file and all pictures",
    )


@contextmanager
def migration_errors(path: Path) -> Iterator[None]:
    """Translate what alembic itself raises when it upgrades the database at `path`; for use inside `store_errors`.

    Raises:
        StoreError: the migrations cannot be found or do not fit together.
    """
    from alembic.script.revision import RevisionError  # who needs no migration need not load alembic
    from alembic.util import CommandError

    try:
        yield
    except (CommandError, RevisionError) as error:
        raise StoreError(f"{path}: cannot be upgraded ({error})", "install birdwatchd again") from error


def _from_sqlite(path: Path, error: BaseException | None) -> StoreError:
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(_BUSY):
        return StoreBusy(f"{path}: another process holds the database", "try again when it has finished")
    if name.startswith(_FULL):
        return StoreFull(f"{path}: no room on the disk", "free some space; birdwatchd then goes on by itself")
    if name.startswith(_DAMAGED) or _NONSENSE.search(str(error)):
        return damaged(path, f"the database is damaged ({' '.join(str(error).split())})")
    if name.startswith(_FORBIDDEN):
        return StoreError(f"{path}: cannot be opened or written ({error})", _what_lets_in(path))
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"{path}: cannot be read or written ({error})", _FAILING)
    return StoreError(f"{path}: {error}", "check the disk, and that no other program changes the file")


def _from_system(path: Path, error: OSError) -> StoreError:
    where = error.filename or path
    if error.errno in _FULL_DISK:
        return StoreFull(f"{where}: no room on the disk", "free some space; birdwatchd then goes on by itself")
    hint = _what_lets_in(path) if error.errno in _FORBIDDEN_BY_SYSTEM else "check that `home` exists and may be written"
    if error.errno in (errno.EROFS, errno.EIO):
        hint = _FAILING
    return StoreError(f"{where}: {error.strerror or error}", hint)


def _what_lets_in(path: Path) -> str:
    """What to do where this process may not read or write a home."""
    try:
        if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            return _FAILING
        owner = path.stat().st_uid
    except OSError:  # of somebody else's, and closed
        return "check its owner and rights"
    if os.geteuid() in (0, owner):
        return "check its rights, and those of its folder and of the files beside it"
    return run_as(owner)


def run_as(owner: int) -> str:
    """What to do where another user should run a command."""
    try:
        return f"run this as its owner: sudo -u {pwd.getpwuid(owner).pw_name} birdwatchd …"
    except KeyError:
        return f"run this as its owner, who has the number {owner}"
