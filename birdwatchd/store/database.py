"""Open the SQLite file so that it survives kill -9, several threads and several processes.

Write-ahead log: readers never wait for the writer. A power cut never costs the database. What is written `durable`
(visits, and what is published of them) is on the disk when the transaction is over; it may cost other transactions of
the last seconds (effort, which messages were acknowledged).

Python's own transaction magic is switched off; a write transaction says
BEGIN IMMEDIATE, so that it waits (10 s) at its start and can never fail half-way for want of the lock.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from birdwatchd.errors import StoreError, StoreTooNew, StoreTooOld, StoreUnavailable
from birdwatchd.store import migrations, schema
from birdwatchd.store.backup.database_copy import keep_before_migration
from birdwatchd.store.media import DAY_FOLDERS, PRIVATE, frame_path, home_lock
from birdwatchd.store.sqlite_errors import damaged, migration_errors, run_as, store_errors

__all__ = ["FILE_NAME", "Database", "refuse_emptied", "require_database"]

log = logging.getLogger(__name__)

FILE_NAME = "birdwatchd.sqlite3"
QUICK_CHECK_S = 2.0  # years of visits are gigabytes, and take longer than a start should; `doctor` reads them all
BUSY_TIMEOUT_MS = 10_000  # longer than any transaction here, shorter than a person's or systemd's patience


def require_database(home: Path) -> None:
    """Refuse a home without a database.

    Raises:
        StoreError: there is none; says what to do.
    """
    path = home / FILE_NAME
    with store_errors(path):
        refuse_emptied(path)
        if not path.is_file():
            hint = "check `home`, or run birdwatchd there first"
            if _has_pictures(home):
                hint = f"restore it, or let `birdwatchd doctor --repair --home {home}` make visits of the pictures"
            raise StoreError(f"{path}: there is no database", hint)


class Database:
    """The open database of one home. Everything in this folder that reads or writes goes through its transactions.

    Attributes:
        path: the file.
        lock: held by whoever writes in this process; take it to keep several transactions together.
    """

    def __init__(self, home: Path, engine: Engine) -> None:
        self.home, self.path = home, home / FILE_NAME
        self.lock = threading.RLock()
        self._engine, self._write_engine = engine, _writing(engine)
        self._durable_engine = _writing(engine).execution_options(birdwatchd_durable=True)

    @classmethod
    def open(cls, home: Path, *, check: bool = False) -> Database:
        """Open a home for reading and writing, creating or upgrading what is needed.

        Args:
            check: first look through the file for damage, for `QUICK_CHECK_S` at most.

        Raises:
            StoreTooNew: a newer birdwatchd wrote it.
            StoreDamaged: only `birdwatchd doctor` can mend it.
            StoreBusy, StoreFull, StoreError: it cannot be opened now, or at all.
        """
        path = home / FILE_NAME
        with store_errors(path):
            home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            _warn_root(home)
            with home_lock(home, shared=False):
                refuse_emptied(path)
                engine = _open_engine(path, read_only=False)
                if check:
                    _check_quickly(engine, path)
                _prepare(engine, path)
        return cls(home, engine)

    @classmethod
    def open_existing(cls, home: Path) -> Database:
        """Open a home for reading; create and change nothing.

        Raises:
            StoreError, StoreTooOld: there is no database, or it is empty or an older birdwatchd's.
            StoreTooNew, StoreDamaged: a newer birdwatchd's, or none that can be read.
        """
        path = home / FILE_NAME
        require_database(home)
        engine = _open_engine(path, read_only=True)
        with store_errors(path):
            _require_version(engine, path)
        return cls(home, engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; it never waits for a writer.

        Raises:
            StoreBusy, StoreFull, StoreError: as `birdwatchd.errors` says.
        """
        with store_errors(self.path), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[Connection]:
        """A transaction that writes: all of it, or nothing where an exception leaves it.

        Args:
            durable: it survives a power cut as soon as it is over, and costs one more wait for the disk.

        Raises:
            StoreBusy, StoreFull, StoreError: as `birdwatchd.errors` says.
        """
        engine = self._durable_engine if durable else self._write_engine
        with self.lock, store_errors(self.path), engine.begin() as connection:
            yield connection

    def named_files(self, visit_ids: list[str]) -> set[str]:
        """The paths of files, relative to home, that the rows of these visits name (with frames), or that are to go."""
        moment, visit, named = schema.moment.c, schema.visit.c, set[str]()
        with self.reading() as connection:
            named.update(connection.execute(sa.select(schema.going.c.file)).scalars())
            for first in range(0, len(visit_ids), 500):  # SQLite allows 999 parameters in its oldest builds
                chosen = visit_ids[first : first + 500]
                for query in (
                    sa.select(moment.crop).where(moment.visit_id.in_(chosen), moment.crop.is_not(None)),
                    sa.select(visit.clip).where(visit.id.in_(chosen), visit.clip.is_not(None)),
                ):
                    named.update(connection.execute(query).scalars())
        return named | {frame_path(name) for name in named if name.endswith(".jpg")}

    def close(self, *, checkpoint: bool = False) -> None:
        """Let go of the file.

        Args:
            checkpoint: first move the write-ahead log into the database file. Where that cannot be done now (full
                disk, busy), it stays in the log; nothing is lost.
        """
        with self.lock:
            try:
                if checkpoint:
                    with store_errors(self.path):
                        _checkpoint(self._engine)
            except StoreUnavailable as error:
                log.warning("the write-ahead log is left as it is: %s", error.message)
            finally:
                self._engine.dispose()


def _open_engine(path: Path, *, read_only: bool) -> Engine:
    """An engine on the file; a read-only one neither creates nor changes anything."""
    mode = "ro" if read_only else "rwc"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA foreign_keys=ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.create_function("casefold", 1, _casefold, deterministic=True)
        connection.create_function("later", 2, _later, deterministic=True)
        _give_logarithm(connection)
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool, max_overflow=20)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take the write lock when they begin."""
    return engine.execution_options(birdwatchd_write=True)


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    immediate = options.get("birdwatchd_write", False)
    if immediate:  # it cannot be changed within a transaction
        level = "FULL" if options.get("birdwatchd_durable", False) else "NORMAL"
        connection.exec_driver_sql(f"PRAGMA synchronous={level}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _casefold(text: Any) -> str | None:
    """SQLite's own lower() knows ASCII only; bird names do not."""
    return None if text is None else str(text).casefold()


def _give_logarithm(connection: sqlite3.Connection) -> None:
    """SQLite may be built without its mathematical functions; its own logarithm is faster than ours."""
    try:
        connection.execute("SELECT ln(1.0)")
    except sqlite3.OperationalError:
        connection.create_function("ln", 1, math.log, deterministic=True)


def _later(stamp: str | None, seconds: float) -> str | None:
    """A time of the database, and some seconds more; SQLite's own functions know milliseconds only."""
    if stamp is None:
        return None
    return (datetime.fromisoformat(stamp) + timedelta(seconds=seconds)).strftime(schema.TIME_FORMAT)


def _warn_root(home: Path) -> None:
    """Say that what root makes in another user's home is root's: the service cannot write it, and fails later."""
    owner = home.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        log.warning("%s is not root's, who makes files there that its owner cannot change: %s", home, run_as(owner))


def refuse_emptied(path: Path) -> None:
    """Refuse to begin a new database in the place of one that was lost or emptied by something else.

    Raises:
        StoreDamaged: the file has 0 bytes although there are pictures; or only its write-ahead log is left, which a
            new database would wipe out.
        StoreError: it is no file: SQLite would wait for whoever writes into a named pipe, or find it empty.
        OSError: the folder cannot be read.
    """
    log_file = path.with_name(f"{path.name}-wal")
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: is not a file", "move it away; `birdwatchd doctor` then says what is left")
    if not path.exists():
        if log_file.exists() and log_file.stat().st_size > 0:
            raise damaged(path, "is missing, and only its write-ahead log (-wal) is left")
    elif path.stat().st_size == 0 and _has_pictures(path.parent):
        raise damaged(path, "is empty (0 bytes), although there are pictures of visits")


def _has_pictures(home: Path) -> bool:
    return next((home / "media").glob(f"{DAY_FOLDERS}/*.jpg"), None) is not None


def _check_quickly(engine: Engine, path: Path) -> None:
    """Look for damage in tables and their indexes, small ones first, as far as the time allows.

    Raises:
        StoreDamaged: something is wrong.
    """
    raw = engine.raw_connection()
    connection = raw.driver_connection
    assert isinstance(connection, sqlite3.Connection)
    timer = threading.Timer(QUICK_CHECK_S, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in sorted(names, key=lambda name: (name == "moment", name == "visit")):  # the largest come last
            for (found,) in connection.execute(f"PRAGMA integrity_check('{name.replace(chr(39), chr(39) * 2)}')"):
                if found != "ok":
                    problem = found.splitlines()[-1]  # the first may be a heading
                    raise damaged(path, f"the database is damaged ({problem})")
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
            raise
    finally:
        timer.cancel()
        raw.close()


def _check_version(connection: Connection, path: Path) -> bool:
    """True if the database has this program's schema, False if it is older or empty.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
        StoreDamaged: another program did, or it cannot be told.
    """
    tables = sa.inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise damaged(path, "is a database of another program, or the list of its tables is damaged")
        return False
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and not re.fullmatch(r"\d{4}", str(found)):
        raise damaged(path, f"the version of its schema cannot be read ({found!r:.40})")
    if found is not None and found not in migrations.REVISIONS:
        raise StoreTooNew(
            f"{path}: was written by a newer birdwatchd (schema {found}, not {migrations.REVISIONS[-1]})",
            "install that version again, or restore the backup made before the upgrade",
        )
    return found == migrations.REVISIONS[-1]


def _prepare(engine: Engine, path: Path) -> None:
    """Bring the schema up to date in one transaction; a second process that starts meanwhile waits for it.

    A database that has anything is copied first.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
        StoreFull, StoreError: the copy cannot be made, or the migrations cannot be run; the database is as it was.
    """
    with _writing(engine).begin() as connection:
        if not _check_version(connection, path):
            keep_before_migration(path, migrations.REVISIONS[-1])
            with migration_errors(path):
                migrations.upgrade(connection)


def _require_version(engine: Engine, path: Path) -> None:
    """Refuse a database that cannot be read as it is.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
        StoreTooOld: an older one did, and nobody has upgraded it yet, or it is still empty.
        StoreDamaged: another program did, or it cannot be told.
    """
    with engine.begin() as connection:
        if not _check_version(connection, path):
            if not sa.inspect(connection).get_table_names():
                raise StoreTooOld(f"{path}: holds no visits yet", "start `birdwatchd run` once")
            raise StoreTooOld(f"{path}: is of an older birdwatchd", "start `birdwatchd run` once; it upgrades it")


def _checkpoint(engine: Engine) -> None:
    """Empty the write-ahead log into the database file, unless a reader is in the way."""
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        raw.close()
