"""Open the SQLite file so that it survives kill -9, several threads and several processes.

Write-ahead log: readers never wait for the writer. `synchronous=NORMAL`: a power cut may cost the last
transactions, never the database. Python's own transaction magic is switched off; a write transaction says
BEGIN IMMEDIATE, so that it waits (10 s) at its start and can never fail half-way for want of the lock.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from birdwatchd.errors import StoreError, StoreTooNew
from birdwatchd.store import migrations

__all__ = ["FILE_NAME", "checkpoint", "open_database", "prepare", "require_version", "writing"]

FILE_NAME = "birdwatchd.sqlite3"
BUSY_TIMEOUT_MS = 10_000  # longer than any transaction here, shorter than a person's or systemd's patience


def open_database(path: Path, *, read_only: bool) -> Engine:
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
            connection.execute("PRAGMA synchronous=NORMAL")
        connection.create_function("casefold", 1, _casefold, deterministic=True)
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool, max_overflow=20)
    sa.event.listen(engine, "begin", _begin)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take the write lock when they begin."""
    return engine.execution_options(birdwatchd_write=True)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("birdwatchd_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _casefold(text: Any) -> str | None:
    """SQLite's own lower() knows ASCII only; bird names do not."""
    return None if text is None else str(text).casefold()


def check_version(connection: Connection, path: Path) -> bool:
    """True if the database has this program's schema, False if it is older or empty.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
    """
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found not in migrations.REVISIONS:
        raise StoreTooNew(
            f"{path}: was written by a newer birdwatchd (schema {found}, not {migrations.REVISIONS[-1]})",
            "install that version again, or restore the backup made before the upgrade",
        )
    return found == migrations.REVISIONS[-1]


def prepare(engine: Engine, path: Path) -> None:
    """Bring the schema up to date in one transaction; a second process that starts meanwhile waits for it.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
    """
    with writing(engine).begin() as connection:
        if not check_version(connection, path):
            migrations.upgrade(connection)


def require_version(engine: Engine, path: Path) -> None:
    """Refuse a database that cannot be read as it is.

    Raises:
        StoreTooNew: a newer birdwatchd wrote it.
        StoreError: an older one did, and nobody has upgraded it yet.
    """
    with engine.begin() as connection:
        if not check_version(connection, path):
            raise StoreError(f"{path}: is of an older birdwatchd", "start `birdwatchd run` once; it upgrades it")


def checkpoint(engine: Engine) -> None:
    """Move the write-ahead log into the database file and empty it, unless a reader is in the way."""
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        raw.close()
