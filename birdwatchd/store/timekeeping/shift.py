"""Add some time to all that is stamped in one stretch: visits, moments, effort, alerts, messages that wait.

All in the caller's transaction. Firsts are reassigned to what is then the earliest visit of each period. Names stay:
a visit's id and the paths of its files still say when it was thought to be.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.clock import BUILT
from birdwatchd.store import schema
from birdwatchd.store.news import FIRSTS, periods_of
from birdwatchd.store.timekeeping.doubt import Doubt, is_dated

__all__ = ["SLACK", "Shifted", "mark_ahead", "new_stretch", "reassign_firsts", "shift_stretch"]

SLACK = timedelta(minutes=1)  # by which a stamp may be later than now without being from a wrong clock


@dataclass(frozen=True, slots=True)
class Shifted:
    """What was moved in time.

    Attributes:
        visits: their ids.
        spans: of effort, how many.
        cameras: keys of the cameras of these visits.
        firsts: visits whose firsts are others now, how many.
    """

    visits: tuple[str, ...] = ()
    spans: int = 0
    cameras: tuple[str, ...] = ()
    firsts: int = 0

    def __add__(self, other: Shifted) -> Shifted:
        cameras = tuple(sorted({*self.cameras, *other.cameras}))
        return Shifted(self.visits + other.visits, self.spans + other.spans, cameras, self.firsts + other.firsts)


def shift_stretch(connection: Connection, stretch: int, by: timedelta, zone: ZoneInfo) -> Shifted:
    """Add `by` to everything of a stretch; there is no doubt about it afterwards.

    Args:
        zone: whose midnight ends a day.
    """
    visit, moment, effort, clock, alert = schema.visit, schema.moment, schema.effort, schema.clock, schema.alert
    began_at = connection.execute(sa.select(clock.c.began_at).where(clock.c.id == stretch)).scalar_one()
    mine = visit.c.clock == stretch
    found = connection.execute(sa.select(visit.c.id, visit.c.species).where(mine).order_by(visit.c.id)).all()
    ids = sa.select(visit.c.id).where(mine)
    _add(connection, visit, by, ("started_at", "ended_at", "last_seen_at"), mine)
    _add(connection, moment, by, ("at",), moment.c.visit_id.in_(ids))
    _add(connection, alert, by, ("started_at", "fired_at"), alert.c.visit_id.in_(ids))
    spans = _add(connection, effort, by, ("from", "to"), effort.c.clock == stretch)
    waiting = schema.outbox.c
    no_visit = sa.and_(waiting.visit_id.is_(None), waiting.created_at >= began_at)
    _add(connection, schema.outbox, by, ("created_at",), sa.or_(waiting.visit_id.in_(ids), no_visit))
    _add(connection, clock, by, ("began_at",), clock.c.id == stretch)
    values = {"doubt": None, "shifted_s": clock.c.shifted_s + by.total_seconds()}
    connection.execute(sa.update(clock).where(clock.c.id == stretch).values(values))
    firsts = reassign_firsts(connection, {row.species for row in found if row.species}, zone)
    cameras = sa.select(schema.camera.c.key).where(schema.camera.c.id.in_(sa.select(visit.c.camera_id).where(mine)))
    keys = tuple(connection.execute(cameras.order_by(schema.camera.c.key)).scalars())
    return Shifted(tuple(row.id for row in found), spans, keys, firsts)


def mark_ahead(connection: Connection, now: datetime) -> Shifted:
    """Mark what lies on dates after `now`, where `now` is right: a clock that was ahead stamped it.

    It is put into a stretch of its own. Recordings are left out: cameras of other makers stamp them.
    """
    visit, effort = schema.visit, schema.effort
    late = now + SLACK
    of_visits = sa.and_(visit.c.started_at > late, visit.c.media.is_(None), is_dated(visit.c.clock))
    of_effort = sa.and_(effort.c["from"] > late, is_dated(effort.c.clock))
    first = connection.execute(sa.select(sa.func.min(visit.c.started_at)).where(of_visits)).scalar()
    watched = connection.execute(sa.select(sa.func.min(effort.c["from"])).where(of_effort)).scalar()
    astride = sa.and_(effort.c["from"] <= late, effort.c["to"] > late, is_dated(effort.c.clock))
    connection.execute(sa.update(effort).where(astride).values(to=now))
    began = min((at for at in (first, watched) if at is not None), default=None)
    if began is None:
        return Shifted()
    stretch = new_stretch(connection, began, BUILT, synchronised=False, doubt=Doubt.AHEAD)
    ids = tuple(connection.execute(sa.select(visit.c.id).where(of_visits).order_by(visit.c.id)).scalars())
    connection.execute(sa.update(visit).where(of_visits).values(clock=stretch))
    spans = connection.execute(sa.update(effort).where(of_effort).values(clock=stretch)).rowcount
    return Shifted(ids, spans)


def new_stretch(
    connection: Connection, began: datetime, sure: datetime, *, synchronised: bool, doubt: Doubt | None
) -> int:
    """Begin a stretch; its number."""
    values = {
        "began_at": began,
        "sure_at": sure,
        "synchronised": synchronised,
        "doubt": None if doubt is None else doubt.value,
        "shifted_s": 0.0,
    }
    made = connection.execute(sa.insert(schema.clock).values(values)).inserted_primary_key
    assert made is not None
    return int(made[0])


def reassign_firsts(connection: Connection, species: Collection[str], zone: ZoneInfo) -> int:
    """Give the firsts of these species to the earliest visit of each period; how many visits have others now."""
    table, changed = schema.visit, 0
    for name in sorted(species):
        query = sa.select(table.c.id, table.c.started_at, table.c.firsts).where(table.c.species == name)
        had: set[tuple[str, object]] = set()
        for row in connection.execute(query.where(is_dated(table.c.clock)).order_by(table.c.started_at, table.c.id)):
            periods: dict[str, Any] = periods_of(row.started_at, zone)
            firsts = [one for one in FIRSTS if (one, periods[one]) not in had]
            had.update((one, periods[one]) for one in FIRSTS)
            if firsts != list(row.firsts):
                connection.execute(sa.update(table).where(table.c.id == row.id).values(firsts=firsts))
                changed += 1
    return changed


def _add(
    connection: Connection, table: sa.Table, by: timedelta, columns: Collection[str], where: sa.ColumnElement[bool]
) -> int:
    """Add to times in some rows; how many rows."""
    seconds = by.total_seconds()
    later = {name: sa.func.later(table.c[name], seconds, type_=sa.Text) for name in columns}
    return int(connection.execute(sa.update(table).where(where).values(later)).rowcount)
