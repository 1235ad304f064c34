"""What is to be seen at a camera now: its newest bird, today's count, whether a bird is there.

Everything comes from the visits, inside the caller's transaction, so that what is told can be told again at any time.
A day begins at the station's midnight, however long it is (23 to 25 hours where clocks are changed).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import State
from birdwatchd.store import schema
from birdwatchd.store.news import Day, StoredVisit

__all__ = ["Board", "best_crop", "day_at", "day_bounds", "is_present"]


@dataclass(frozen=True, slots=True)
class Board:
    """The states of one camera that are told.

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


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When a local day begins, and when the next one does (UTC)."""
    first, second = (datetime.combine(d, time.min, zone).astimezone(UTC) for d in (day, day + timedelta(days=1)))
    return first, second


def day_at(connection: Connection, day: date, zone: ZoneInfo, camera: str | None = None) -> Day:
    """Count the visits that began on a local date, of one camera or of all (see `Day`)."""
    visit, number = schema.visit.c, sa.func.count()
    start, end = day_bounds(day, zone)
    confirmed = visit.state == State.CONFIRMED.value
    name = sa.case((confirmed, sa.func.coalesce(visit.common_name, visit.scientific_name)))
    query = (
        sa.select(name, number)
        .where(visit.started_at >= start, visit.started_at < end, visit.state != State.REJECTED.value)
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
    """The name of the best picture of a visit, if any is kept."""
    moment = schema.moment.c
    query = sa.select(moment.crop).where(moment.visit_id == visit_id, moment.crop.is_not(None))
    return connection.execute(query.order_by(moment.quality.desc(), moment.idx).limit(1)).scalar()
