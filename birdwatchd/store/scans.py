"""Recognise a recording that was scanned before, and the visits that were found in it.

A recording is what is in a file, wherever the file lies: a card is mounted elsewhere the next time, and copied to an
archive. It is known by its size and a hash of its head, its middle and its tail (`content_of`). Something else at the
same path is another recording: cards are re-used, IMG_0001.MP4 of next week must not cost the visits of this week. The
ids of its visits say where they come from: ten characters of time as in every visit id, eight for content and model,
four for the settings, four for the number of the visit. So the visits of a pass that was cut off are found as well. Of
what was scanned by older versions no content is known until it is seen again: those recordings are known by path, size
and time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import Visit, new_visit_id
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.embeddings import is_model, model_id
from birdwatchd.store.media import Media
from birdwatchd.store.reader import stored_visits, to_stored_visit

__all__ = ["Recording", "Scans", "VisitIds", "content_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME, _FILE, _PASS = 10, 8, 12  # characters of an id: its time, then 8 for the file, 12 for file and settings
PART_BYTES = 65_536  # of head, middle and tail each: 200 kB of a card are read in some milliseconds
UNFINISHED = "was not read to its end"
_NUMBERS = 2**20  # visits a file may have before their numbers begin again (their times still differ)


@dataclass(frozen=True, slots=True)
class Recording:
    """One file, as it is read with one model and one set of settings.

    Attributes:
        path: its name as it is stored; valid UTF-8, whatever bytes the file system has.
        model: name@version.
        settings: all that decides what is found and how it is named, as text.
        content: what `content_of` says; empty where it is not known.
    """

    path: str
    size: int
    mtime_ns: int
    model: str
    settings: str
    content: str = ""

    def visit_id(self, start: datetime, number: int) -> str:
        """The id of the visit with this number in the file; the same whenever it is scanned the same way."""
        known_by = self.content or f"{self.mtime_ns}|{self.path}"
        file = _digest(f"{self.model}|{self.size}|{known_by}", 40)
        return new_visit_id(start, file << 40 | _digest(self.settings, 20) << 20 | number % _NUMBERS)


def content_of(path: Path, size: int) -> str:
    """A hash of a file's head, middle and tail, by which it is known at another place.

    Headers and indexes of a video, which hold its date and the size of each picture, lie at its ends, and no two
    pictures of a sensor are the same: recordings that agree in size and in these parts are copies.

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.sha256()
    with path.open("rb") as file:
        for begin in sorted({0, max(0, size // 2 - PART_BYTES // 2), max(0, size - PART_BYTES)}):
            file.seek(begin)
            found.update(file.read(PART_BYTES))
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class VisitIds:
    """The ids of the visits that one pass over a recording finds.

    A visit keeps the id that it got first, which is made of when it began as far as was known then: when its bird
    leaves it may turn out to have been there from the start.
    """

    recording: Recording
    _ids: dict[str, str] = field(default_factory=dict)

    def of(self, worker_id: str, start: datetime) -> str:
        """The id in this recording of the visit that the worker calls `worker_id`, and that begins at `start`."""
        if worker_id not in self._ids:
            self._ids[worker_id] = self.recording.visit_id(start, len(self._ids))
        return self._ids[worker_id]


class Scans:
    """Which recordings were scanned, and what was found in them."""

    def __init__(self, database: Database, media: Media) -> None:
        self._database, self._media = database, media

    def done_as(self, recording: Recording) -> Recording | None:
        """The recording as it was read to its end before, perhaps at another place; None if it was not, or failed."""
        table = schema.scanned.c
        here = sa.and_(table.path == recording.path, table.mtime_ns == recording.mtime_ns)
        query = (
            sa.select(table.path, table.mtime_ns, table.content)
            .join(schema.model)
            .where(table.size == recording.size, table.settings == recording.settings, _is_same(recording))
            .where(is_model(recording.model), table.error.is_(None), table.growing.is_(False))
            .order_by(here.desc(), table.finished_at)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return replace(recording, path=row.path, mtime_ns=row.mtime_ns, content=row.content or "")

    def note_content(self, recording: Recording) -> None:
        """Note what is in a recording that an older version scanned at this place."""
        table = schema.scanned.c
        query = (
            sa.update(schema.scanned)
            .where(table.path == recording.path, table.size == recording.size, table.mtime_ns == recording.mtime_ns)
            .where(table.content.is_(None))
        )
        with self._database.writing() as connection:
            connection.execute(query.values(content=recording.content))

    def visits_of(self, recording: Recording) -> list[Visit]:
        """The visits found in exactly this recording at its place, oldest first."""
        visit = schema.visit.c
        query = stored_visits().where(_found_in(recording)).order_by(visit.started_at, visit.id)
        with self._database.reading() as connection:
            return [to_stored_visit(row).visit for row in connection.execute(query)]

    def forget(self, recording: Recording) -> None:
        """Delete what earlier passes of this model over this file left, before it is scanned again.

        Whatever their settings, and finished or not; also what was found while the file was still growing. Visits
        with a review stay. Rows go in one transaction, then their crops.
        """
        with self._database.writing() as connection:
            crops = _forget(connection, recording, model_id(connection, recording.model, None))
        for name in crops:
            self._media.remove_crop(name)

    def mark_begun(self, recording: Recording, now: datetime) -> None:
        """Note that a recording is being read, so that what is found of it is known wherever it lies next time."""
        self.mark_done(recording, visits=0, error=UNFINISHED, now=now)

    def mark_done(
        self, recording: Recording, *, visits: int, error: str | None, now: datetime, growing: bool = False
    ) -> None:
        """Remember that a recording was read to its end, so that a scan can go on.

        Args:
            error: why it could not be read; it will be tried again.
            growing: the file changed while it was read; what is there next time takes its place.
        """
        with self._database.writing() as connection:
            values = {
                "path": recording.path,
                "size": recording.size,
                "mtime_ns": recording.mtime_ns,
                "model_id": model_id(connection, recording.model, None),
                "settings": recording.settings,
                "finished_at": now,
                "visits": visits,
                "error": error,
                "growing": growing,
                "content": recording.content or None,
            }
            connection.execute(sa.insert(schema.scanned).prefix_with("OR REPLACE").values(values))


def _digest(text: str, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") >> (256 - bits)


def _is_same(recording: Recording) -> sa.ColumnElement[bool]:
    """The condition that a row of `scanned` is about what is in this recording, if its size and model are the same.

    At the same place and time only where something else is not known to have been there.
    """
    table = schema.scanned.c
    unknown = sa.or_(table.content.is_(None), sa.literal(not recording.content))
    here = sa.and_(table.path == recording.path, table.mtime_ns == recording.mtime_ns, unknown)
    return sa.or_(here, table.content == recording.content) if recording.content else here


def _found_in(recording: Recording, *, any_settings: bool = False) -> sa.ColumnElement[bool]:
    """The condition that a visit was found in this recording, with its settings or with any."""
    visit, length = schema.visit.c, _FILE if any_settings else _PASS

    def marked(one: Recording) -> sa.ColumnElement[bool]:
        mark = one.visit_id(_EPOCH, 0)[_TIME : _TIME + length]
        return sa.func.substr(visit.id, _TIME + 1, length) == mark

    legacy = sa.and_(visit.media == recording.path, marked(replace(recording, content="")))
    return sa.or_(legacy, sa.and_(visit.media == recording.path, marked(recording))) if recording.content else legacy


def _forget(connection: Connection, recording: Recording, model: int) -> list[str]:
    """Delete the rows of all passes over a recording, wherever it lay, and of the shorter file that it was.

    Returns:
        The crops that they named.
    """
    table = schema.scanned.c
    grown = sa.select(table.path, table.size, table.mtime_ns, table.content).where(
        table.path == recording.path, table.model_id == model, table.growing.is_(True)
    )
    same = sa.select(table.path, table.size, table.mtime_ns, table.content).where(
        table.size == recording.size, table.model_id == model, _is_same(recording)
    )
    ones = {recording}
    for row in [*connection.execute(grown), *connection.execute(same)]:
        ones.add(replace(recording, path=row.path, size=row.size, mtime_ns=row.mtime_ns, content=row.content or ""))
    return [name for one in ones for name in _forget_one(connection, one, model)]


def _forget_one(connection: Connection, recording: Recording, model: int) -> list[str]:
    visit, moment, review, scanned = schema.visit, schema.moment, schema.review, schema.scanned
    reviewed = sa.exists().where(review.c.visit_id == visit.c.id)
    ids = sa.select(visit.c.id).where(_found_in(recording, any_settings=True), ~reviewed)
    named = sa.select(moment.c.crop).where(moment.c.visit_id.in_(ids), moment.c.crop.is_not(None))
    crops = list(connection.execute(named).scalars())
    connection.execute(sa.delete(visit).where(visit.c.id.in_(ids)))
    connection.execute(
        sa.delete(scanned).where(
            scanned.c.path == recording.path,
            scanned.c.size == recording.size,
            scanned.c.mtime_ns == recording.mtime_ns,
            scanned.c.model_id == model,
        )
    )
    return crops
