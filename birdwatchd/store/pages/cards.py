"""Read lists of visits a page at a time, newest first, however many there are.

Every list is one or a few stretches of an index, each read from its newest visit on and cut off: of one species, of
each camera and state that is wanted, of firsts, of rarities, or of time alone. What no index holds (reviews) is checked
on the way. So a page costs what it shows, and never a look at every visit; `tests/store/test_pages.py` holds the plans.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import State
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.news import StoredVisit
from birdwatchd.store.reader import rank_of, stored_visits, to_stored_visit

__all__ = ["BIRDS", "Card", "CardFilter", "CardPage", "Cards", "Place"]

BIRDS = (State.CONFIRMED, State.UNCERTAIN, State.UNKNOWN)
MOST_NUMBER = 2**31  # of a moment; SQLite takes no more than 64 bits
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Card:
    """A visit as a list shows it.

    Attributes:
        picture: number of the moment whose picture shows most of the bird; None where no picture is kept.
        reviewed: somebody said what it is.
    """

    stored: StoredVisit
    picture: int | None
    reviewed: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: after the visit that began then and has this id."""

    start: datetime
    visit_id: str


@dataclass(frozen=True, slots=True)
class CardFilter:
    """Which visits are wanted; by default all of birds.

    Attributes:
        species: the name by which a confirmed species is remembered: scientific where it has one.
        states: any of these; all but rejected where there are none.
        since, until: they began at or after the one and before the other.
        firsts: they were the first of the species, ever or of a year, season or day.
        over: the bird has left.
        least, most: the score of the name is at least the one and at most the other, 0 … 1.
    """

    species: str | None = None
    camera: str | None = None
    states: Collection[State] = ()
    since: datetime | None = None
    until: datetime | None = None
    firsts: bool = False
    rare: bool = False
    unreviewed: bool = False
    over: bool = False
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class CardPage:
    """One page of a list, newest first, and where the next one begins; None at the end."""

    cards: tuple[Card, ...]
    older: Place | None


class Cards:
    """Lists of visits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, wanted: CardFilter, size: int, after: Place | None = None) -> CardPage:
        """The newest visits that are wanted, or those that follow a place."""
        with self._database.reading() as connection:
            found = _newest(connection, wanted, after, size + 1)
            shown = [visit_id for _, visit_id in found[:size]]
            cards = _cards(connection, shown)
        older = Place(*found[size - 1]) if len(found) > size else None
        return CardPage(cards, older)

    def ids(self, wanted: CardFilter, limit: int) -> list[str]:
        """The newest visits that are wanted, at most `limit`, newest first."""
        with self._database.reading() as connection:
            return [visit_id for _, visit_id in _newest(connection, wanted, None, limit)][:limit]

    def these(self, visit_ids: Sequence[str]) -> tuple[Card, ...]:
        """Some visits, in this order; without those that are gone."""
        with self._database.reading() as connection:
            return _cards(connection, visit_ids)

    def of(self, visit_id: str) -> Card | None:
        """One visit, or None."""
        with self._database.reading() as connection:
            return next(iter(_cards(connection, [visit_id])), None)

    def are_in(self, spans: Sequence[tuple[datetime, datetime]]) -> list[bool]:
        """For each span, its end excluded, whether a bird's visit began in it."""
        visit = schema.visit.c
        birds = sa.select(visit.id).where(visit.state != State.REJECTED.value).limit(1)
        with self._database.reading() as connection:
            within = (birds.where(visit.started_at >= since, visit.started_at < until) for since, until in spans)
            return [connection.execute(query).first() is not None for query in within]

    def cameras(self) -> list[str]:
        """The cameras that ever had a visit, also those that are gone."""
        with self._database.reading() as connection:
            return list(connection.execute(sa.select(schema.camera.c.key).order_by(schema.camera.c.key)).scalars())

    def picture(self, visit_id: str, number: int) -> str | None:
        """The file of a moment's picture, relative to home; None where none is kept."""
        moment = schema.moment.c
        query = sa.select(moment.crop).where(moment.visit_id == visit_id, moment.idx == number)
        with self._database.reading() as connection:
            return connection.execute(query).scalar() if 0 <= number < MOST_NUMBER else None

    def neighbours(self, visit_id: str) -> tuple[str | None, str | None]:
        """The visits of birds that began next after and next before one; None at either end."""
        visit = schema.visit.c
        with self._database.reading() as connection:
            mine = connection.execute(sa.select(visit.started_at).where(visit.id == visit_id)).scalar()
            if mine is None:
                return None, None
            place = sa.tuple_(visit.started_at, visit.id)
            here = sa.tuple_(sa.literal(mine, visit.started_at.type), visit_id)
            birds = sa.select(visit.id).where(visit.state != State.REJECTED.value)
            newer = birds.where(visit.started_at >= mine, place > here).order_by(visit.started_at, visit.id)
            older = birds.where(visit.started_at <= mine, place < here)
            older = older.order_by(visit.started_at.desc(), visit.id.desc())
            first, second = (connection.execute(query.limit(1)).scalar() for query in (newer, older))
        return first, second


def _newest(connection: Connection, wanted: CardFilter, after: Place | None, limit: int) -> list[tuple[datetime, str]]:
    """When the newest visits of all stretches began, and their ids, newest first; of each stretch at most `limit`."""
    found: list[tuple[datetime, str]] = []
    for stretch in _stretches(connection, wanted):
        rows = connection.execute(newest_of(stretch, wanted, after, limit)).all()
        found += [(row.started_at, row.id) for row in rows]
    return sorted(found, reverse=True)


def _stretches(connection: Connection, wanted: CardFilter) -> list[list[sa.ColumnElement[bool]]]:
    """The conditions of each stretch of an index that holds visits that may be wanted."""
    visit = schema.visit.c
    if wanted.rare or wanted.firsts:
        return [_of_few(wanted)]
    if wanted.species is not None:
        others: list[sa.ColumnElement[bool]] = []
        if wanted.camera is not None:
            key = sa.select(schema.camera.c.id).where(schema.camera.c.key == wanted.camera)
            others = [visit.camera_id + 0 == key.scalar_subquery()]  # `+ 0`: not by the index on cameras
        if wanted.states:
            others.append(visit.state.in_([state.value for state in wanted.states]))
        return [[visit.species == wanted.species, *others]]
    if wanted.camera is None and not wanted.states:
        return [[visit.state != State.REJECTED.value]]
    camera = sa.select(schema.camera.c.id)
    if wanted.camera is not None:
        camera = camera.where(schema.camera.c.key == wanted.camera)
    ids = connection.execute(camera).scalars().all()
    states = [state.value for state in wanted.states or BIRDS]
    return [[visit.camera_id == one, visit.state == state] for one, state in product(ids, states)]


def _of_few(wanted: CardFilter) -> list[sa.ColumnElement[bool]]:
    """The other conditions of firsts and rarities, written so that no other index seems better than theirs."""
    visit = schema.visit.c
    states = [state.value for state in wanted.states or BIRDS]
    conditions: list[sa.ColumnElement[bool]] = [(visit.state + "").in_(states)]
    if wanted.species is not None:
        conditions.append(visit.species + "" == wanted.species)
    if wanted.camera is not None:
        key = sa.select(schema.camera.c.id).where(schema.camera.c.key == wanted.camera)
        conditions.append(visit.camera_id + 0 == key.scalar_subquery())
    return conditions


def newest_of(
    stretch: Sequence[sa.ColumnElement[bool]], wanted: CardFilter, after: Place | None, limit: int
) -> sa.Select[Any]:
    """The query of the newest visits of one stretch: their ids and when they began."""
    visit = schema.visit.c
    until = min(wanted.until or _END_OF_TIME, _END_OF_TIME)
    query = sa.select(visit.id, visit.started_at).where(*stretch, visit.started_at < until)
    if wanted.since is not None:
        query = query.where(visit.started_at >= wanted.since)
    if after is not None:
        place = sa.tuple_(visit.started_at, visit.id)
        query = query.where(
            visit.started_at <= after.start,
            place < sa.tuple_(sa.literal(after.start, visit.started_at.type), after.visit_id),
        )
    if wanted.firsts:
        query = query.where(sa.literal_column("visit.firsts") != sa.literal_column("'[]'"))
    if wanted.rare:
        query = query.where(visit.rare.is_(True))
    if wanted.unreviewed:
        query = query.where(~sa.exists().where(schema.review.c.visit_id == visit.id))
    if wanted.over:
        query = query.where(visit.ended_at.is_not(None))
    if wanted.least is not None:
        query = query.where(visit.score >= wanted.least)
    if wanted.most is not None:
        query = query.where(visit.score <= wanted.most)
    return query.order_by(visit.started_at.desc(), visit.id.desc()).limit(limit)


def _cards(connection: Connection, visit_ids: Sequence[str]) -> tuple[Card, ...]:
    """These visits in this order; one that is gone meanwhile is left out."""
    moment, review = schema.moment.c, schema.review.c
    rows = connection.execute(stored_visits().where(schema.visit.c.id.in_(visit_ids)))
    stored = {row.id: to_stored_visit(row) for row in rows}
    kept = sa.select(moment.visit_id, moment.idx, moment.bird_evidence, moment.quality)
    kept = kept.where(moment.visit_id.in_(visit_ids), moment.crop.is_not(None))
    best: dict[str, tuple[tuple[float, float], int]] = {}
    for row in connection.execute(kept):
        rank = (rank_of(row.bird_evidence, row.quality), row.idx)
        best[row.visit_id] = max(best.get(row.visit_id, rank), rank)
    said = sa.select(review.visit_id).where(review.visit_id.in_(visit_ids)).distinct()
    reviewed = set(connection.execute(said).scalars())
    return tuple(
        Card(stored[one], best[one][1] if one in best else None, one in reviewed) for one in visit_ids if one in stored
    )
