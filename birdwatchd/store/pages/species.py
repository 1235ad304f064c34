"""Read what is known of the species that were confirmed: when, how often, how many, and their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import State
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.timekeeping.doubt import is_dated

__all__ = ["DayVisit", "SpeciesSeen", "SpeciesSummary"]

MOST_TIMES = 20_000  # of a species, for its charts
BEST_OF = 30  # newest visits among which the picture of a species is chosen


@dataclass(frozen=True, slots=True)
class SpeciesSummary:
    """A species that was confirmed at least once.

    Attributes:
        species: the name by which it is remembered: scientific where it has one.
        name: what it is called.
        most: birds at once in one visit.
        picture: the visit and the moment whose picture shows it best, among its newest visits.
    """

    species: str
    name: str
    visits: int
    first: datetime
    last: datetime
    most: int
    picture: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class DayVisit:
    """A visit of a day, for counting. `name` is None where no species was confirmed."""

    start: datetime
    species: str | None
    name: str | None


class SpeciesSeen:
    """The species that were seen."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, since: datetime | None = None, until: datetime | None = None) -> list[SpeciesSummary]:
        """Every confirmed species, the one seen last first; counted from `since` on and before `until`, if given."""
        visit = schema.visit.c
        query = sa.select(
            visit.species,
            sa.func.count(),
            sa.func.min(visit.started_at),
            sa.func.max(visit.started_at).label("last"),
            sa.func.max(visit.count_max),
        ).where(visit.species.is_not(None), is_dated(visit.clock))
        if since is not None:
            query = query.where(visit.started_at >= since)
        if until is not None:
            query = query.where(visit.started_at < until)
        query = query.group_by(visit.species).order_by(sa.desc("last"))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            names = dict(_names(connection))
        return [
            SpeciesSummary(row[0], names[row[0]], int(row[1]), row[2], row[3], int(row[4]), self._picture(row[0]))
            for row in rows
        ]

    def began(self) -> datetime | None:
        """When the first bird was confirmed; None before that."""
        visit = schema.visit.c
        query = sa.select(visit.started_at).where(visit.species.is_not(None), is_dated(visit.clock))
        with self._database.reading() as connection:
            found: datetime | None = connection.execute(query.order_by(visit.started_at).limit(1)).scalar()
        return found

    def names(self) -> list[tuple[str, str]]:
        """Every confirmed species and what it is called, by that name."""
        with self._database.reading() as connection:
            return sorted(_names(connection), key=lambda one: one[1].casefold())

    def total(self) -> int:
        """How many species were ever confirmed."""
        found = _found()
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count(found.c.species))).scalar_one())

    def of(self, species: str) -> SpeciesSummary | None:
        """One species, or None where it was never confirmed."""
        visit = schema.visit.c
        query = sa.select(
            sa.func.count(),
            sa.func.min(visit.started_at),
            sa.func.max(visit.started_at),
            sa.func.max(visit.count_max),
        ).where(visit.species == species, is_dated(visit.clock))
        newest = sa.select(visit.common_name).where(visit.species == species)
        with self._database.reading() as connection:
            row = connection.execute(query).one()
            name = connection.execute(newest.order_by(visit.started_at.desc()).limit(1)).scalar()
        if not row[0]:
            return None
        return SpeciesSummary(
            species, name or species, int(row[0]), row[1], row[2], int(row[3]), self._picture(species)
        )

    def times(self, species: str) -> list[datetime]:
        """When the newest visits of a species began, at most `MOST_TIMES`."""
        visit = schema.visit.c
        query = sa.select(visit.started_at).where(visit.species == species, is_dated(visit.clock))
        query = query.order_by(visit.started_at.desc()).limit(MOST_TIMES)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def between(self, since: datetime, until: datetime) -> list[DayVisit]:
        """The visits of birds that began at or after the one and before the other, oldest first."""
        visit = schema.visit.c
        query = (
            sa.select(visit.started_at, visit.species, visit.common_name)
            .where(visit.started_at >= since, visit.started_at < until)
            .where(visit.state != State.REJECTED.value, is_dated(visit.clock))
            .order_by(visit.started_at)
        )
        with self._database.reading() as connection:
            return [DayVisit(row[0], row[1], row[2]) for row in connection.execute(query)]

    def _picture(self, species: str) -> tuple[str, int] | None:
        visit, moment = schema.visit.c, schema.moment.c
        newest = sa.select(visit.id).where(visit.species == species)
        newest = newest.order_by(visit.started_at.desc()).limit(BEST_OF)
        best = sa.select(moment.visit_id, moment.idx).where(moment.visit_id.in_(newest), moment.crop.is_not(None))
        best = best.order_by(moment.bird_evidence.desc().nulls_last(), moment.quality.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(best).first()
        return (row[0], row[1]) if row is not None else None


def _names(connection: Connection) -> list[tuple[str, str]]:
    return [(row[0], row[1] or row[0]) for row in connection.execute(_named())]


def _named() -> sa.Select[Any]:
    """Every confirmed species and what its newest visit calls it: a look into the index for each of them."""
    visit, found = schema.visit.c, _found()
    newest = sa.select(visit.common_name).where(visit.species == found.c.species)
    newest = newest.order_by(visit.started_at.desc()).limit(1)
    return sa.select(found.c.species, newest.scalar_subquery()).where(found.c.species.is_not(None))


def _found() -> sa.CTE:
    """Every confirmed species, and None: a step from name to name of the index, so its length does not matter."""
    visit, other = schema.visit.c, schema.visit.alias().c
    found = sa.select(sa.func.min(visit.species).label("species")).cte("found", recursive=True)
    following = sa.select(sa.func.min(other.species)).where(other.species > found.c.species).scalar_subquery()
    return found.union_all(sa.select(following).where(found.c.species.is_not(None)))
