"""Read what is known of the species that were confirmed: when, how often, how many, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import State
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.reader import best_first
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
        counted = sa.union_all(*_counted(since, until)).subquery().c
        last = sa.func.max(counted.last_at).label("last")
        query = sa.select(
            counted.species, sa.func.sum(counted.visits), sa.func.min(counted.first_at), last, sa.func.max(counted.most)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.group_by(counted.species).order_by(sa.desc("last"))).all()
            names = dict(_names(connection))
            return [_summary(connection, row[0], names.get(row[0], row[0]), row[1:]) for row in rows]

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
        visit, sums = schema.visit.c, schema.species_month.c
        query = sa.select(
            sa.func.sum(sums.visits), sa.func.min(sums.first_at), sa.func.max(sums.last_at), sa.func.max(sums.count_max)
        ).where(sums.species == species)
        newest = sa.select(visit.common_name).where(visit.species == species)
        with self._database.reading() as connection:
            row = connection.execute(query).one()
            if not row[0]:
                return None
            name = connection.execute(newest.order_by(visit.started_at.desc()).limit(1)).scalar() or species
            return _summary(connection, species, name, row)

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


def _counted(since: datetime | None, until: datetime | None) -> list[sa.Select[Any]]:
    """The sums of a span in parts: its whole months (UTC), and the visits of those months that it has a part of."""
    sums = schema.species_month.c
    whole = sa.select(
        sums.species,
        sa.func.sum(sums.visits).label("visits"),
        sa.func.min(sums.first_at).label("first_at"),
        sa.func.max(sums.last_at).label("last_at"),
        sa.func.max(sums.count_max).label("most"),
    ).group_by(sums.species)
    low = None if since is None else _month_from(since)
    high = None if until is None else _month_of(until)
    if since is not None and until is not None and low is not None and high is not None and low > high:
        return [_counted_within(since, until)]
    parts = []
    if since is not None and low is not None:
        whole = whole.where(sums.month >= f"{low:%Y-%m}")
        parts += [_counted_within(since, low)] if since < low else []
    if until is not None and high is not None:
        whole = whole.where(sums.month < f"{high:%Y-%m}")
        parts += [_counted_within(high, until)] if high < until else []
    return [whole, *parts]


def _counted_within(since: datetime, until: datetime) -> sa.Select[Any]:
    """The sums of a span within one month: the index of visits is read for the species of that month only."""
    sums, visit, number = schema.species_month, schema.visit, sa.func.count(schema.visit.c.started_at)
    mine = (visit.c.species == sums.c.species, visit.c.started_at >= since, visit.c.started_at < until)
    # An outer join, since SQLite would else look at all visits of the span, and at the species of each.
    return (
        sa.select(
            sums.c.species,
            number.label("visits"),
            sa.func.min(visit.c.started_at).label("first_at"),
            sa.func.max(visit.c.started_at).label("last_at"),
            sa.func.max(visit.c.count_max).label("most"),
        )
        .select_from(sums.outerjoin(visit, sa.and_(*mine, is_dated(visit.c.clock))))
        .where(sums.c.month == f"{_month_of(since):%Y-%m}")
        .group_by(sums.c.species)
        .having(number > 0)
    )


def _month_of(at: datetime) -> datetime:
    """When the month (UTC) of a time begins."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _month_from(at: datetime) -> datetime:
    """When the first month (UTC) begins that does so at or after a time."""
    month = _month_of(at)
    return month if month == at else _month_of(month + timedelta(days=31))


def _picture_query() -> sa.Select[Any]:
    visit, moment = schema.visit.c, schema.moment.c
    newest = sa.select(visit.id).where(visit.species == sa.bindparam("species"))
    newest = newest.order_by(visit.started_at.desc()).limit(BEST_OF)
    best = sa.select(moment.visit_id, moment.idx).where(moment.visit_id.in_(newest), moment.crop.is_not(None))
    return best.order_by(*best_first()).limit(1)


_PICTURE = _picture_query()  # made once: a list asks it for each species, and making it takes longer than the answer


def _summary(connection: Connection, species: str, name: str, sums: Sequence[Any]) -> SpeciesSummary:
    visits, first, last, most = sums
    return SpeciesSummary(species, name, int(visits), first, last, int(most), _picture(connection, species))


def _picture(connection: Connection, species: str) -> tuple[str, int] | None:
    """The picture that shows a species best, among its newest visits."""
    row = connection.execute(_PICTURE, {"species": species}).first()
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
    first = sa.select(sa.func.min(visit.species).label("species")).where(visit.species.is_not(None))
    found = first.cte("found", recursive=True)
    following = sa.select(sa.func.min(other.species)).where(other.species > found.c.species).scalar_subquery()
    return found.union_all(sa.select(following).where(found.c.species.is_not(None)))
