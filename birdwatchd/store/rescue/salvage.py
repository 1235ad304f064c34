"""Read every row that can still be read from a damaged database, and write it into a new one.

Rows are read through their table by number: at a damaged page the range is halved until only the rows on it are left
out. What that leaves is asked of the `.recover` of the sqlite3 program, where there is one: it reads pages without the
tree above them. A row whose values are not what their columns hold is left out; its pictures may know better.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from birdwatchd.store.rescue.sound import ROW_TABLES, sound_row
from birdwatchd.store.rescue.sums import rebuild_marks, rebuild_sums

__all__ = ["UNREADABLE", "RowReader", "Salvaged", "is_near", "mend_schema", "open_raw", "salvage"]

UNREADABLE = (sqlite3.Error, UnicodeDecodeError)  # the second where what SQLite says of a spoilt table is no text
MOST_FAILURES = 100_000  # queries of one table that hit a damaged page; a large database is damaged in a few places
MOST_CHANGED = 3  # letters of an id; two visits of one moment differ in 16 random ones
BEYOND = 4096  # rows that are looked for behind the last one where SQLite cannot say which is the last


@dataclass(slots=True)
class Salvaged:
    """What became of the rows of a damaged database.

    Attributes:
        rows: that were saved, by table.
        unreadable: rows that were found, and whose values are not what their columns hold.
        whole: no page was in the way.
    """

    rows: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0
    whole: bool = True


def open_raw(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a database without SQLAlchemy; text comes as bytes, which need be no UTF-8.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10, isolation_level=None)
    connection.text_factory = bytes
    return connection


class RowReader:
    """Reads the rows of one table, around damaged pages.

    Attributes:
        failures: how often a page was in the way.
        columns: those that the table has of those that this version knows; empty where there is no such table.
    """

    def __init__(self, source: sqlite3.Connection, table: sa.Table) -> None:
        self._source, self._table = source, table
        self.failures = 0
        self.columns: list[str] = []
        try:
            found = {row[1].decode() for row in source.execute(f"PRAGMA table_info({_quoted(table.name)})")}
        except UNREADABLE:
            self.failures += 1
            return
        self.columns = [column.name for column in table.columns if column.name in found]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The values of `columns`, of each row that can be read."""
        if not self.columns:
            return
        names = ", ".join(map(_quoted, self.columns))
        self._select = f"SELECT rowid, {names} FROM {_quoted(self._table.name)} NOT INDEXED"  # noqa: S608  # our names
        first, last = self._end("min"), self._end("max")
        reached = 0
        if last is None:
            for number, row in self._span(first or 1, 2**62, halve=False):
                reached = number
                yield row
            first, last = reached + 1, reached + BEYOND
        for _, row in self._span(1 if first is None else first, last):
            yield row

    def _end(self, function: str) -> int | None:
        """The first or last row's number; None where a damaged page hides it."""
        query = f"SELECT {function}(rowid) FROM {_quoted(self._table.name)} NOT INDEXED"  # noqa: S608  # our names
        try:
            return int(self._source.execute(query).fetchone()[0] or 0)
        except UNREADABLE:
            self.failures += 1
            return None

    def _span(self, first: int, last: int, *, halve: bool = True) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """The rows from one number to another, around what cannot be read (or up to it)."""
        spans = [(first, last)]
        while spans and self.failures < MOST_FAILURES:
            low, high = spans.pop()
            try:
                query = f"{self._select} WHERE rowid BETWEEN ? AND ? ORDER BY rowid"
                for number, *row in self._source.execute(query, (low, high)):
                    low = number + 1
                    yield number, tuple(row)
            except UNREADABLE:
                self.failures += 1
                if halve and low < high:
                    middle = (low + high) // 2
                    spans += [(middle + 1, high), (low, middle)]


def mend_schema(damaged: Path, sound: Path) -> None:
    """Write tables, indexes and triggers into a copy again whose definitions were damaged; SQLite reads nothing else.

    All databases of one version list them in the same order, which is that of the migrations. Where fewer than half of
    the definitions agree, this is not one of ours, and stays as it is. Rows of an older version read well with the
    definitions of this one, and so can only be copied afterwards: the file may not say any more of which version it is.

    Args:
        damaged: the copy.
        sound: an empty database of this version.
    """
    columns = "rowid, type, name, tbl_name, sql"
    with closing(open_raw(sound)) as known:
        right = {row[0]: row[1:] for row in known.execute(f"SELECT {columns} FROM sqlite_master")}  # noqa: S608
    with closing(open_raw(damaged)) as connection, suppress(*UNREADABLE):
        connection.execute("PRAGMA writable_schema=ON")
        found = {row[0]: row[1:] for row in connection.execute(f"SELECT {columns} FROM sqlite_master")}  # noqa: S608
        wrong = [number for number in found.keys() & right.keys() if found[number] != right[number]]
        if found.keys() == right.keys() and 2 * len(wrong) < len(right):
            change = "UPDATE sqlite_master SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?"
            connection.execute("BEGIN")
            for number in wrong:
                text = [None if value is None else value.decode() for value in right[number]]
                connection.execute(change, [*text, number])
            connection.execute("COMMIT")


def salvage(damaged: Path, target: Path) -> Salvaged:
    """Write the rows of a damaged database into a new and empty one of this version, as far as they can be read.

    Args:
        damaged: a copy that may be changed, with its write-ahead log beside it.

    Raises:
        sqlite3.Error, OSError: the new database cannot be written.
    """
    result = Salvaged()
    with closing(open_raw(target)) as new:
        new.execute("PRAGMA foreign_keys=OFF")
        new.execute("BEGIN IMMEDIATE")
        _copy(damaged, new, result)
        if not result.whole and (recovered := _recovered(damaged)) is not None:
            _copy(recovered, new, result)
        _restore_ids(new)
        _restore_parents(new)
        _delete_orphans(new)
        rebuild_sums(new)  # what came before its row of `clock` was counted, whatever that says
        rebuild_marks(new)  # a review may be lost of which its visit says that it is there
        new.execute("COMMIT")
        for table in ROW_TABLES:
            (result.rows[table.name],) = new.execute(f"SELECT count(*) FROM {_quoted(table.name)}").fetchone()  # noqa: S608
    return result


def _copy(source: Path, new: sqlite3.Connection, result: Salvaged) -> None:
    """Add what one file has and the new database has not."""
    with closing(open_raw(source)) as old:
        old.execute("PRAGMA writable_schema=ON")  # SQLite then reads on where the file is cut off or a table is spoilt
        for table in ROW_TABLES:
            reader = RowReader(old, table)
            for row in reader.rows():
                values = sound_row(table, reader.columns, row)
                if values is None:
                    result.unreadable += 1
                    continue
                names, places = ", ".join(map(_quoted, values)), ", ".join("?" * len(values))
                insert = f"INSERT OR IGNORE INTO {_quoted(table.name)} ({names}) VALUES ({places})"  # noqa: S608
                new.execute(insert, list(values.values()))
            result.whole = result.whole and bool(reader.columns) and not reader.failures
        with suppress(*UNREADABLE, TypeError, ValueError):  # ids of messages are never used again
            (highest,) = old.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
            new.execute("DELETE FROM sqlite_sequence WHERE name = 'outbox'")
            new.execute("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", (int(highest),))


def _recovered(damaged: Path) -> Path | None:
    """What `.recover` of the sqlite3 program makes of a database; None without the program, or where it fails."""
    program = shutil.which("sqlite3")
    if program is None:
        return None
    recovered = damaged.with_name("recovered.sqlite3")
    with subprocess.Popen(
        [program, "-batch", str(damaged), ".recover --ignore-freelist"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as reading:
        loaded = subprocess.run(
            [program, "-batch", str(recovered)], stdin=reading.stdout, capture_output=True, check=False
        )
    return recovered if loaded.returncode >= 0 and recovered.exists() and recovered.stat().st_size > 0 else None


def _restore_ids(new: sqlite3.Connection) -> None:
    """Give visits their ids again whose own was damaged: their moments know it.

    Such a visit has no moment, and its moments have no visit. Left so, they would be deleted, their pictures would be
    made a visit once more, and it would be listed twice.
    """
    childless = (
        "SELECT id, started_at, last_seen_at FROM visit WHERE NOT EXISTS (SELECT 1 FROM moment WHERE visit_id = id)"
    )
    found = [tuple(value.decode() for value in row) for row in new.execute(childless)]
    orphans = (
        "SELECT visit_id, min(at), max(at) FROM moment WHERE visit_id NOT IN (SELECT id FROM visit) GROUP BY visit_id"
    )
    for row in new.execute(orphans).fetchall():
        right, first, last = (value.decode() for value in row)
        meant = [one for one, began, ended in found if began <= first and last <= ended and is_near(one, right)]
        if len(meant) == 1:
            new.execute("UPDATE visit SET id = ? WHERE id = ?", (right, meant[0]))
            found = [one for one in found if one[0] != meant[0]]


def is_near(one: str, other: str) -> bool:
    """Whether two ids are the same but for what some changed bytes can make of one."""
    return len(one) == len(other) and sum(map(str.__ne__, one, other)) <= MOST_CHANGED


def _restore_parents(new: sqlite3.Connection) -> None:
    """Make the cameras and models again whose rows were lost: the path of a crop begins with its camera."""
    lost = "SELECT camera_id, min(started_at) FROM visit WHERE camera_id NOT IN (SELECT id FROM camera) GROUP BY 1"
    named = (
        "SELECT crop FROM moment JOIN visit ON visit.id = visit_id WHERE camera_id = ? AND crop LIKE 'media/%' LIMIT 1"
    )
    for number, since in new.execute(lost).fetchall():
        crop = new.execute(named, (number,)).fetchone()
        key = crop[0].decode().split("/")[1] if crop else f"camera_{number}"
        for name in (key, f"{key}_{number}"):
            insert = "INSERT OR IGNORE INTO camera (id, key, name, first_seen) VALUES (?, ?, ?, ?)"
            new.execute(insert, (number, name, name, since.decode()))
    lost = (
        "SELECT model_id, max(dim) FROM (SELECT model_id, NULL AS dim FROM visit UNION ALL SELECT model_id, dim"
        " FROM moment) WHERE model_id NOT IN (SELECT id FROM model) GROUP BY 1"
    )
    for number, dim in new.execute(lost).fetchall():
        insert = "INSERT INTO model (id, name, version, dim) VALUES (?, 'lost', ?, ?)"
        new.execute(insert, (number, str(number), dim))
    new.execute(
        "UPDATE model SET dim = (SELECT dim FROM moment WHERE model_id = model.id GROUP BY 1 ORDER BY count(*) DESC"
        " LIMIT 1) WHERE dim IS NULL"
    )
    new.execute("DELETE FROM moment WHERE dim != (SELECT dim FROM model WHERE id = model_id)")


def _delete_orphans(new: sqlite3.Connection) -> None:
    """Delete rows whose parents are lost; again, as long as that makes others orphans."""
    while orphans := {(row[0], row[1]) for row in new.execute("PRAGMA foreign_key_check")}:
        for table, number in orphans:
            new.execute(f"DELETE FROM {_quoted(table.decode())} WHERE rowid = ?", (number,))  # noqa: S608  # our names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
