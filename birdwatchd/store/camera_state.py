"""Read and write what is known of a camera: whether it is switched on, when it was watched (effort), what is there now.

What is there now comes from the visits, so that it can be published again at any time. A day begins at the station's
midnight, however long it is (23 to 25 hours where clocks are changed).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from birdwatchd.records import State
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.media import Media
from birdwatchd.store.news import Day, StoredVisit
from birdwatchd.store.reader import best_first, stored_visits, to_stored_visit
from birdwatchd.store.timekeeping.doubt import is_dated

__all__ = [
    "EFFORT_GAP",
    "CameraSummary",
    "Cameras",
    "Effort",
    "EffortSpan",
    "best_crop",
    "camera_id",
    "day_at",
    "day_bounds",
    "hour_bounds",
    "is_present",
    "newest_confirmed",
]

EFFORT_GAP = timedelta(minutes=5)  # a longer silence is a time without effort, not part of a span
EFFORT_STEP = timedelta(seconds=30)  # how much effort a kill -9 may forget, for 30 times fewer writes


@dataclass(frozen=True, slots=True)
class CameraSummary:
    """What is published as the states of one camera.

    Attributes:
        last: the newest confirmed visit.
        image: JPEG of its best crop.
        present: a bird is there that was not rejected.
    """

    camera: str
    last: StoredVisit | None
    image: bytes | None
    today: Day
    present: bool


@dataclass(frozen=True, slots=True)
class EffortSpan:
    """A camera was in one state from then to then (UTC)."""

    camera: str
    start: datetime
    end: datetime
    state: str


class Cameras:
    """What is known of each camera."""

    def __init__(self, database: Database, media: Media, zone: ZoneInfo) -> None:
        self._database, self._media, self._zone = database, media, zone

    def summary(self, camera: str, now: datetime) -> CameraSummary:
        """What is to be seen at a camera now, as one reading of the database."""
        with self._database.reading() as connection:
            last = newest_confirmed(connection, schema.camera.c.key == camera)
            image = self._media.picture(best_crop(connection, last.visit.visit_id)) if last else None
            today = day_at(connection, now.astimezone(self._zone).date(), self._zone, camera)
            return CameraSummary(camera, last, image, today, is_present(connection, camera))

    def day(self, day: date, camera: str | None = None) -> Day:
        """The visits that began on a local date, of one camera or of all."""
        with self._database.reading() as connection:
            return day_at(connection, day, self._zone, camera)

    def is_present(self, camera: str) -> bool:
        """Whether a bird is at this camera."""
        with self._database.reading() as connection:
            return is_present(connection, camera)

    def switch(self, camera: str, *, on: bool, now: datetime) -> None:
        """Remember that a camera was switched on or off."""
        made = sqlite.insert(schema.camera).values(key=camera, name=camera, first_seen=now, switched_off=not on)
        changed = made.on_conflict_do_update(index_elements=["key"], set_={"switched_off": not on})
        with self._database.writing() as connection:
            connection.execute(changed)

    def switched_off(self) -> set[str]:
        """The cameras that were switched off."""
        query = sa.select(schema.camera.c.key).where(schema.camera.c.switched_off.is_(True))
        with self._database.reading() as connection:
            return set(connection.execute(query).scalars())


class Effort:
    """When which camera was watched: without it, no bird and no camera look the same."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written: dict[str, tuple[str, datetime]] = {}
        self._waiting: dict[str, tuple[str, datetime, int | None]] = {}  # noted, and not yet written

    def note(
        self, camera: str, at: datetime, state: str, clock: int | None = None, *, unwatched_s: float = 0.0
    ) -> None:
        """Note that a camera is in a state; call it at every status report.

        Extends the camera's newest span if the state is the same and less than 5 minutes passed (also over a
        restart), else begins a new one. Written at most every 30 s unless the state changes.

        Args:
            clock: stretch in which `at` is stamped; a span lies in one stretch.
            unwatched_s: the state before ended so many seconds ago; if it was the same one, there was none since.
        """
        written = self._written.get(camera)
        if not unwatched_s and written and written[0] == state and timedelta(0) <= at - written[1] < EFFORT_STEP:
            self._waiting[camera] = (state, at, clock)
            return
        with self._database.writing() as connection:
            _extend_effort(connection, camera_id(connection, camera, at), at, state, clock, unwatched_s)
        self._written[camera] = (state, at)
        self._waiting.pop(camera, None)

    def flush(self) -> None:
        """Write what was noted last of every camera: the clock is about to change."""
        waiting = dict(self._waiting)
        with self._database.writing() as connection:
            for camera, (state, at, clock) in waiting.items():
                _extend_effort(connection, camera_id(connection, camera, at), at, state, clock)
        for camera in waiting:
            self._waiting.pop(camera, None)

    def spans(self, since: datetime | None = None) -> list[EffortSpan]:
        """When which camera was in which state, oldest first, without spans that ended before `since`."""
        table = schema.effort.c
        start, end = table["from"], table["to"]
        query = sa.select(schema.camera.c.key, start, end, table.state).join(schema.camera).order_by(start)
        if since is not None:
            query = query.where(end >= since)
        with self._database.reading() as connection:
            return [EffortSpan(*row) for row in connection.execute(query)]


def camera_id(connection: Connection, key: str, now: datetime) -> int:
    """The camera's row, made at its first use."""
    table = schema.camera
    connection.execute(sqlite.insert(table).values(key=key, name=key, first_seen=now).on_conflict_do_nothing())
    return int(connection.execute(sa.select(table.c.id).where(table.c.key == key)).scalar_one())


def newest_confirmed(connection: Connection, at_camera: sa.ColumnElement[bool]) -> StoredVisit | None:
    """The newest confirmed visit of the camera for which the condition holds."""
    visit = schema.visit.c
    query = stored_visits().where(at_camera, visit.state == State.CONFIRMED.value, is_dated(visit.clock))
    row = connection.execute(query.order_by(visit.started_at.desc(), visit.id.desc()).limit(1)).first()
    return to_stored_visit(row) if row else None


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When a local day begins, and when the next one does (UTC)."""
    first, second = (datetime.combine(d, time.min, zone).astimezone(UTC) for d in (day, day + timedelta(days=1)))
    return first, second


def hour_bounds(day: date, hour: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When an hour of a local day begins and ends (UTC): the instants whose local time has this hour.

    Where clocks are put back it may be two hours long; one that they leave out is empty.
    """
    begin = datetime.combine(day, time(hour), zone).astimezone(UTC)
    if hour == 23:
        return begin, day_bounds(day, zone)[1]
    return begin, datetime.combine(day, time(hour + 1), zone).astimezone(UTC)


def day_at(connection: Connection, day: date, zone: ZoneInfo, camera: str | None = None) -> Day:
    """Count the visits that began on a local date, of one camera or of all (see `Day`)."""
    visit, number = schema.visit.c, sa.func.count()
    start, end = day_bounds(day, zone)
    confirmed = visit.state == State.CONFIRMED.value
    name = sa.case((confirmed, sa.func.coalesce(visit.common_name, visit.scientific_name)))
    query = (
        sa.select(name, number)
        .where(visit.started_at >= start, visit.started_at < end, visit.state != State.REJECTED.value)
        .where(is_dated(visit.clock))
        .group_by(name)
        .order_by(number.desc(), name)
    )
    if camera is not None:
        query = query.join(schema.camera).where(schema.camera.c.key == camera)
    rows = [(row[0], int(row[1])) for row in connection.execute(query)]
    return Day(day, sum(n for _, n in rows), tuple((str(name), n) for name, n in rows if name is not None))


def is_present(connection: Connection, camera: str) -> bool:
    """Whether a bird is at this camera: a visit without an end that was not rejected."""
    visit = schema.visit.c
    query = sa.select(visit.id).join(schema.camera).where(schema.camera.c.key == camera)
    open_ones = query.where(visit.ended_at.is_(None), visit.state != State.REJECTED.value)
    return connection.execute(open_ones.limit(1)).first() is not None


def best_crop(connection: Connection, visit_id: str) -> str | None:
    """The path of the crop of a visit that shows most of a bird, relative to home, if any is kept."""
    moment = schema.moment.c
    query = sa.select(moment.crop).where(moment.visit_id == visit_id, moment.crop.is_not(None))
    return connection.execute(query.order_by(*best_first()).limit(1)).scalar()


def _extend_effort(
    connection: Connection, camera: int, at: datetime, state: str, clock: int | None, unwatched_s: float = 0.0
) -> None:
    held_until = at - timedelta(seconds=unwatched_s)
    table = schema.effort
    end = table.c["to"]
    query = sa.select(table.c.id, end.label("until"), table.c.state)
    query = query.where(table.c.camera_id == camera, table.c.clock.is_not_distinct_from(clock), end < at + EFFORT_GAP)
    newest = connection.execute(query.order_by(end.desc(), table.c.id.desc()).limit(1)).first()
    near = newest is not None and held_until - newest.until < EFFORT_GAP
    if newest is not None and near and held_until > newest.until:
        connection.execute(sa.update(table).where(table.c.id == newest.id).values({"to": held_until}))
    if newest is None or not near or newest.state != state or unwatched_s:
        start = at if newest is None or newest.state == state else min(at, max(held_until, newest.until))
        connection.execute(
            sa.insert(table).values({"camera_id": camera, "from": start, "to": at, "state": state, "clock": clock})
        )
