"""Reassign firsts (of the year, of the season, …) when a visit's species changes: which visits gain or lose one.

Who sees a first of the year retracted expects the next visit of that species to be the first of the year, whether it
came already or is still to come; and who undoes the retraction expects everything as it was. So whenever a verdict
changes to another species (a review, a relabelling, a better look while the bird is there), the firsts of both species
are reassigned. A visit that merely is stored late (a card that is scanned weeks afterwards) takes no first from others.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import Visit
from birdwatchd.store import schema
from birdwatchd.store.camera_state import day_bounds
from birdwatchd.store.news import FIRSTS, periods_of
from birdwatchd.store.timekeeping.doubt import is_dated

__all__ = ["gaining", "losing"]

Changes = dict[str, tuple[str, ...]]


def gaining(connection: Connection, species: str, lost: tuple[str, ...], visit: Visit, zone: ZoneInfo) -> Changes:
    """Which visits gain the firsts of a species that a visit has just lost: the earliest that is left of each period.

    Returns:
        The new firsts of each other visit that gains any.
    """
    changes: dict[str, set[str]] = {}
    for name, period in _periods(species, visit, zone).items():
        earliest = connection.execute(period.limit(1)).first()
        if name in lost and earliest is not None and name not in earliest.firsts:
            changes.setdefault(earliest.id, set(earliest.firsts)).add(name)
    return _in_order(changes)


def losing(connection: Connection, species: str, gained: tuple[str, ...], visit: Visit, zone: ZoneInfo) -> Changes:
    """Which visits lose firsts of a species to a visit that has just become this species and the first of it.

    Returns:
        The new firsts of each other visit that loses any.
    """
    changes: dict[str, set[str]] = {}
    firsts = schema.visit.c.firsts
    for name, period in _periods(species, visit, zone).items():
        if name not in gained:
            continue
        # Ordered by time and cut off, since who has a first is nearly always among the first few.
        others = period.where(sa.cast(firsts, sa.Text).like(f'%"{name}"%'), schema.visit.c.id != visit.visit_id)
        for row in connection.execute(others.limit(1)):
            changes.setdefault(row.id, set(row.firsts)).discard(name)
    return _in_order(changes)


def _periods(species: str, visit: Visit, zone: ZoneInfo) -> dict[str, sa.Select[tuple[str, list[str]]]]:
    """The visits of a species in each period around a visit, the earliest first."""
    table = schema.visit.c
    found: dict[str, sa.Select[tuple[str, list[str]]]] = {}
    for name, days in periods_of(visit.start, zone).items():
        query = sa.select(table.id, table.firsts).where(table.species == species, is_dated(table.clock))
        if days is not None:
            query = query.where(table.started_at >= day_bounds(days[0], zone)[0])
            query = query.where(table.started_at < day_bounds(days[1], zone)[0])
        found[name] = query.order_by(table.started_at, table.id)
    return found


def _in_order(changes: dict[str, set[str]]) -> Changes:
    return {one: tuple(name for name in FIRSTS if name in names) for one, names in changes.items()}
