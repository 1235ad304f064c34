"""Know a scanned recording again, and the visits that were found in it.

A recording is one file as it was when it was read. Another size or time at the same path is another recording: cards
are re-used, IMG_0001.MP4 of next week must not cost the visits of this week. The ids of its visits say where they come
from: ten characters of time as in every visit id, eight for file and model, four for the settings, four for the number
of the visit. So the visits of a pass that was cut off, of which nothing else is known, are found as well.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import new_visit_id
from birdwatchd.store import schema

__all__ = ["Recording", "forget", "found_in"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME, _FILE, _PASS = 10, 8, 12  # characters of an id: its time, then 8 for the file, 12 for file and settings
_NUMBERS = 2**20  # visits a file may have before their numbers begin again (their times still differ)


@dataclass(frozen=True, slots=True)
class Recording:
    """One file, as it is read with one model and one set of settings.

    Attributes:
        path: its name as it is stored; valid UTF-8, whatever bytes the file system has.
        model: name@version.
        settings: all that decides what is found and how it is named, as text.
    """

    path: str
    size: int
    mtime_ns: int
    model: str
    settings: str

    def visit_id(self, start: datetime, number: int) -> str:
        """The id of the visit with this number in the file; the same whenever it is scanned the same way."""
        file = _digest(f"{self.model}|{self.size}|{self.mtime_ns}|{self.path}", 40)
        return new_visit_id(start, file << 40 | _digest(self.settings, 20) << 20 | number % _NUMBERS)


def _digest(text: str, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") >> (256 - bits)


def found_in(recording: Recording, *, any_settings: bool = False) -> sa.ColumnElement[bool]:
    """The condition that a visit was found in this recording, with its settings or with any."""
    visit, length = schema.visit.c, _FILE if any_settings else _PASS
    mark = recording.visit_id(_EPOCH, 0)[_TIME : _TIME + length]
    return sa.and_(visit.media == recording.path, sa.func.substr(visit.id, _TIME + 1, length) == mark)


def forget(connection: Connection, recording: Recording, model_id: int) -> list[str]:
    """Delete the rows of all passes over a recording, and of the shorter file it was; returns the crops they named."""
    table = schema.scanned
    grown = sa.select(table.c.size, table.c.mtime_ns).where(
        table.c.path == recording.path, table.c.model_id == model_id, table.c.growing.is_(True)
    )
    shorter = [replace(recording, size=row.size, mtime_ns=row.mtime_ns) for row in connection.execute(grown)]
    return [name for one in {recording, *shorter} for name in _forget_one(connection, one, model_id)]


def _forget_one(connection: Connection, recording: Recording, model_id: int) -> list[str]:
    visit, moment, review, scanned = schema.visit, schema.moment, schema.review, schema.scanned
    reviewed = sa.exists().where(review.c.visit_id == visit.c.id)
    ids = sa.select(visit.c.id).where(found_in(recording, any_settings=True), ~reviewed)
    named = sa.select(moment.c.crop).where(moment.c.visit_id.in_(ids), moment.c.crop.is_not(None))
    crops = list(connection.execute(named).scalars())
    connection.execute(sa.delete(visit).where(visit.c.id.in_(ids)))
    connection.execute(
        sa.delete(scanned).where(
            scanned.c.path == recording.path,
            scanned.c.size == recording.size,
            scanned.c.mtime_ns == recording.mtime_ns,
            scanned.c.model_id == model_id,
        )
    )
    return crops
