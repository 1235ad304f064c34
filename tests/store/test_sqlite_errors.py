"""Every exception of SQLAlchemy, sqlite3, alembic and the file system leaves the store as one of birdwatchd's own."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import alembic.script.revision
import alembic.util.exc
import pytest
import sqlalchemy as sa

from birdwatchd.errors import StoreBusy, StoreDamaged, StoreError, StoreFull
from birdwatchd.store import Store, migrations
from birdwatchd.store.sqlite_errors import migration_errors, store_errors

PATH = Path("/home/birds/birdwatchd.sqlite3")
BUG, DISK, FAILING, DAMAGED, RIGHTS, ROOM, WAIT = (
    "report this as a bug",
    "check the disk, and that no other program changes the file",
    "its disk fails or is read-only: look into `dmesg`, then mount it for writing",
    "stop birdwatchd and run `birdwatchd doctor --repair --home /home/birds`, which keeps this file and all pictures",
    "check its owner and rights",
    "free some space; birdwatchd then goes on by itself",
    "try again when it has finished",
)
# What each of SQLite's result codes becomes; an extended code is as its family, unless it is here itself.
SQLITE: dict[str, tuple[type[StoreError], str]] = {
    **dict.fromkeys(["BUSY", "LOCKED", "PROTOCOL"], (StoreBusy, WAIT)),
    **dict.fromkeys(["FULL", "IOERR_SHMSIZE"], (StoreFull, ROOM)),
    **dict.fromkeys(["CORRUPT", "NOTADB"], (StoreDamaged, DAMAGED)),
    **dict.fromkeys(["READONLY", "CANTOPEN", "PERM"], (StoreError, RIGHTS)),
    **dict.fromkeys(["ERROR", "INTERNAL", "ABORT", "NOMEM", "INTERRUPT", "NOTFOUND"], (StoreError, DISK)),
    "IOERR": (StoreError, FAILING),
    **dict.fromkeys(["EMPTY", "SCHEMA", "TOOBIG", "CONSTRAINT", "MISMATCH", "MISUSE", "NOLFS"], (StoreError, DISK)),
    **dict.fromkeys(["AUTH", "FORMAT", "RANGE"], (StoreError, DISK)),
}
NO_ERRORS = ("SQLITE_OK", "SQLITE_NOTICE", "SQLITE_WARNING", "SQLITE_ROW", "SQLITE_DONE")
EXTENDED = {name for name, value in vars(sqlite3).items() if name.startswith("SQLITE_") and value > 255}
EXTENDED -= {name for name in EXTENDED if name.startswith((*NO_ERRORS, "SQLITE_DBCONFIG"))}
CODES = sorted(EXTENDED | {f"SQLITE_{family}" for family in SQLITE})


def classes(module: Any) -> list[type[Exception]]:
    return [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Exception)]


def becomes(error: BaseException) -> StoreError:
    """What leaves the store when this is raised in it."""
    with pytest.raises(StoreError) as caught, store_errors(PATH):
        raise error
    assert caught.value.__cause__ is error, "the log must be able to show where it came from"
    return caught.value


def of_sqlite(name: str, kind: type[Exception] = sqlite3.OperationalError) -> Exception:
    """An error as sqlite3 raises it for a result code."""
    error = kind("what SQLite says")
    error.sqlite_errorname, error.sqlite_errorcode = name, getattr(sqlite3, name)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("name", CODES)
def test_every_result_code_of_sqlite(name: str) -> None:
    """Busy and full are waited for, everything else ends the daemon with a line that says what to do."""
    families = [name.removeprefix("SQLITE_"), name.split("_")[1]]
    expected, hint = next(SQLITE[family] for family in families if family in SQLITE)
    raw = of_sqlite(name)
    for error in (raw, sa.exc.OperationalError("SELECT 1", {}, raw)):
        found = becomes(error)
        assert (type(found), found.hint) == (expected, hint)
        assert str(PATH) in found.message


@pytest.mark.parametrize("kind", classes(sqlite3), ids=lambda kind: kind.__name__)
def test_every_exception_of_sqlite3(kind: type[Exception]) -> None:
    """Also those without a result code, as for a connection that was closed; what decides is the code alone."""
    plain = becomes(kind("Cannot operate on a closed database."))
    assert (type(plain), plain.hint) == (StoreError, DISK)
    assert "Cannot operate on a closed database." in plain.message
    assert type(becomes(of_sqlite("SQLITE_BUSY", kind))) is StoreBusy


@pytest.mark.parametrize("kind", classes(sa.exc), ids=lambda kind: kind.__name__)
def test_every_exception_of_sqlalchemy(kind: type[Exception]) -> None:
    """Errors of the database say what it said; a value that cannot be bound and wrong use are bugs of ours."""
    if issubclass(kind, Warning):
        return  # is shown, not raised
    if not issubclass(kind, sa.exc.SQLAlchemyError):
        assert kind.__name__ == "EmulatedDBAPIException"  # of drivers that are not used here, for asyncio
        return
    if issubclass(kind, sa.exc.DBAPIError):
        found = becomes(kind("SELECT 1", {}, of_sqlite("SQLITE_FULL")))
        assert (type(found), found.hint) == (StoreFull, ROOM)
    elif issubclass(kind, sa.exc.StatementError):
        found = becomes(kind("what went wrong", "SELECT 1", {}, ValueError("no time zone")))
        assert (type(found), found.hint) == (StoreError, BUG)
        assert "no time zone" in found.message
    else:
        found = becomes(kind.__new__(kind, "what went wrong"))
        assert (type(found), found.hint) == (StoreError, BUG)
        assert "what went wrong" in found.message


@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=errno.errorcode.get)
def test_every_error_of_the_system(number: int) -> None:
    """Crops are files: a full disk is waited for, also where a quota makes it full, and the file is named."""
    found = becomes(OSError(number, os.strerror(number), "/home/birds/media/1.jpg"))
    assert type(found) is (StoreFull if number in (errno.ENOSPC, errno.EDQUOT) else StoreError)
    assert (FAILING in str(found)) is (number in (errno.EROFS, errno.EIO))
    assert "/home/birds/media/1.jpg" in found.message


@pytest.mark.parametrize(
    "kind", [*classes(alembic.util.exc), *classes(alembic.script.revision)], ids=lambda kind: kind.__name__
)
def test_every_exception_of_alembic(kind: type[Exception]) -> None:
    """An upgrade that cannot be made is one line for a person, not a traceback."""
    error = kind.__new__(kind, "what went wrong")
    with pytest.raises(StoreError, match="cannot be upgraded") as caught, store_errors(PATH), migration_errors(PATH):
        raise error
    assert type(caught.value) is StoreError
    assert caught.value.__cause__ is error


def test_a_failing_migration_is_the_databases_error() -> None:
    """What SQLite says while it migrates goes through: a full disk is waited for then as well."""
    with pytest.raises(StoreFull), store_errors(PATH), migration_errors(PATH):
        raise of_sqlite("SQLITE_FULL")


def test_an_installation_without_its_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a package: the database is left as it was."""
    monkeypatch.setattr(migrations, "FOLDER", tmp_path / "gone")
    with pytest.raises(StoreError, match="install birdwatchd again"):
        Store.open(tmp_path, zone=ZoneInfo("UTC"))
    tables = sqlite3.connect(tmp_path / "birdwatchd.sqlite3").execute("SELECT * FROM sqlite_master").fetchall()
    assert tables == []


@pytest.mark.parametrize("kind", [StoreBusy, StoreFull, StoreError])
def test_our_own_errors_go_through(kind: type[StoreError]) -> None:
    """What was translated inside is not translated again."""
    error = kind("said already", "and what to do")
    with pytest.raises(kind) as caught, store_errors(PATH):
        raise error
    assert caught.value is error


def test_what_is_a_bug_stays_one() -> None:
    """A TypeError must not be told as a problem of the disk."""
    with pytest.raises(TypeError), store_errors(PATH):
        raise TypeError("a bug")
