"""Turn what SQLAlchemy, SQLite and the file system raise into birdwatchd's own errors."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from birdwatchd.errors import StoreBusy, StoreError, StoreFull

__all__ = ["store_errors"]

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Translate everything foreign that work on the database at `path`, or on the crops beside it, can raise.

    Raises:
        StoreBusy, StoreFull, StoreError: see `birdwatchd.errors`.
    """
    try:
        yield
    except DBAPIError as error:
        raise _from_sqlite(path, error.orig) from error
    except sqlite3.Error as error:
        raise _from_sqlite(path, error) from error
    except StatementError as error:
        raise StoreError(f"{path}: a value cannot be stored ({error.orig})", "report this as a bug") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{path}: {error}", "report this as a bug") from error
    except OSError as error:
        raise _from_system(path, error) from error


def _from_sqlite(path: Path, error: BaseException | None) -> StoreError:
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusy(f"{path}: another process holds the database", "try again when it has finished")
    if name == "SQLITE_FULL":
        return StoreFull(f"{path}: no room on the disk", "free some space; birdwatchd then goes on by itself")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        hint = "restore it from a backup, or move it away to begin a new one"
        return StoreError(f"{path}: the database is damaged ({error})", hint)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreError(f"{path}: cannot be opened or written ({error})", "check its owner and rights")
    return StoreError(f"{path}: {error}", "check the disk, and that no other program changes the file")


def _from_system(path: Path, error: OSError) -> StoreError:
    where = error.filename or path
    if error.errno in _FULL:
        return StoreFull(f"{where}: no room on the disk", "free some space; birdwatchd then goes on by itself")
    return StoreError(f"{where}: {error.strerror or error}", "check that `home` exists and may be written")
