"""Let each first belong to the earliest visit of its period, when a visit that had it turns out to be another bird.

Who sees a first of the year retracted expects the next visit of that species to be the first of the year, whether it
came already or is still to come; and who takes the retraction back expects everything as it was. So a review, naming
anew, or a bird that gets another name while it is there, settles the firsts of the species that it lost and of the one
that it gained. A visit that merely comes late (a card that is scanned weeks afterwards) takes no first from anyone.
"""

from __future__ import annotations

from collections import defaultdict
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import Visit
from birdwatchd.store import schema
from birdwatchd.store.board import day_bounds
from birdwatchd.store.telling import FIRSTS, periods_of

__all__ = ["settle"]


def settle(connection: Connection, species: str, visit: Visit, zone: ZoneInfo) -> dict[str, tuple[str, ...]]:
    """Who has which firsts of a species in the periods around a visit that has just been written under its new name.

    Returns:
        The new firsts of each other visit that gains or loses any.
    """
    table = schema.visit.c
    held: dict[str, set[str]] = {}
    changed: dict[str, set[str]] = defaultdict(set)
    for name, days in periods_of(visit.start, zone).items():
        query = sa.select(table.id, table.firsts).where(table.species == species)
        if days is not None:
            query = query.where(table.started_at >= day_bounds(days[0], zone)[0])
            query = query.where(table.started_at < day_bounds(days[1], zone)[0])
        earliest = connection.execute(query.order_by(table.started_at, table.id).limit(1)).first()
        if earliest is None:
            continue
        holders = query.where(sa.cast(table.firsts, sa.Text).like(f'%"{name}"%'), table.id != earliest.id)
        for row in (earliest, *connection.execute(holders)):
            held.setdefault(row.id, set(row.firsts))
            if (name in row.firsts) != (row.id == earliest.id):
                changed[row.id].add(name)
    return {
        one: tuple(name for name in FIRSTS if name in held[one] ^ names)
        for one, names in changed.items()
        if one != visit.visit_id
    }
