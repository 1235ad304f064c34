"""Read lists of visits a page at a time, newest first, however many there are.

Every list is one or a few stretches of an index, each read from its newest visit on and cut off: of one species, of
each camera and state that is wanted, of firsts, of rarities, or of time alone. What else is asked (score, reviewed) is
in the same index: where few visits pass, the others cost a look at their entry and none at their row, a tenth of the
time. A score that few visits have is looked up, and so are the unreviewed ones where they are few. What can hold
nothing is not asked for at all.
`tests/store/test_filters.py` holds results and plans.
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
FEW = 2000  # visits that are looked at one by one in 4 ms
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
            found = _in_order(connection, wanted, after, size + 1)
            shown = [visit_id for _, visit_id in found[:size]]
            cards = _cards(connection, shown)
        older = Place(*found[size - 1]) if len(found) > size else None
        return CardPage(cards, older)

    def ids(self, wanted: CardFilter, limit: int) -> list[str]:
        """The newest visits that are wanted, at most `limit`, newest first."""
        with self._database.reading() as connection:
            return [visit_id for _, visit_id in _in_order(connection, wanted, None, limit)][:limit]

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

    def neighbours(self, visit_id: str, wanted: CardFilter = CardFilter()) -> tuple[str | None, str | None]:
        """Of the visits that are wanted those that began next after and next before one; None at either end.

        The one itself need not be wanted: reviewed, it is no longer among the unreviewed.
        """
        visit = schema.visit.c
        with self._database.reading() as connection:
            mine = connection.execute(sa.select(visit.started_at).where(visit.id == visit_id)).scalar()
            if mine is None:
                return None, None
            place = Place(mine, visit_id)
            found = (_in_order(connection, wanted, place, 1, newer=newer) for newer in (True, False))
            first, second = (next((one for _, one in side), None) for side in found)
        return first, second


def _in_order(
    connection: Connection, wanted: CardFilter, place: Place | None, limit: int, *, newer: bool = False
) -> list[tuple[datetime, str]]:
    """When visits of all stretches began, and their ids: the newest first, of those before a place where there is one.

    Args:
        limit: of each stretch at most so many.
        newer: those after the place instead, the oldest first.
    """
    if wanted.species is not None and wanted.states and State.CONFIRMED not in wanted.states:
        return []
    cameras = _cameras(connection, wanted.camera)
    if not cameras:
        return []
    few = next((one for one in _lookups(wanted) if _are_few(connection, one)), None)
    if few is not None:
        queries = [_of_few(few, wanted, cameras, place, limit, newer)]
    else:
        queries = [_of_stretch(one, wanted, place, limit, newer) for one in _stretches(wanted, cameras)]
    found = [(row.started_at, row.id) for query in queries for row in connection.execute(query)]
    return sorted(found, reverse=not newer)


def _cameras(connection: Connection, key: str | None) -> list[int]:
    """The number of one camera, or of all; none where it never had a visit."""
    camera = schema.camera.c
    query = sa.select(camera.id) if key is None else sa.select(camera.id).where(camera.key == key)
    return list(connection.execute(query).scalars())


def _lookups(wanted: CardFilter) -> list[sa.Select[Any]]:
    """The queries of visits by an index that is not in the order of time; no more of them than tells if they are few.

    Its limit keeps SQLite from going by another index.
    """
    visit, some = schema.visit.c, sa.select(schema.visit).limit(FEW + 1)
    score = _of_score(visit.score, wanted)
    return [*([some.where(*score)] if score else []), *([some.where(visit.reviewed.is_(False))] * wanted.unreviewed)]


def _are_few(connection: Connection, lookup: sa.Select[Any]) -> bool:
    """Whether looking at each of these visits is the quickest way."""
    some = lookup.with_only_columns(sa.literal_column("1")).subquery()
    return int(connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()) <= FEW


def _of_few(
    lookup: sa.Select[Any], wanted: CardFilter, cameras: list[int], place: Place | None, limit: int, newer: bool
) -> sa.Select[Any]:
    """The query of the next visits among few."""
    few, states = lookup.subquery("few").c, [state.value for state in wanted.states or BIRDS]
    conditions = [few.state.in_(states), few.camera_id.in_(cameras), *_of_score(few.score, wanted)]
    if wanted.species is not None:
        conditions.append(few.species == wanted.species)
    return _next(few, conditions, wanted, place, limit, newer)


def _of_score(score: sa.ColumnElement[float], wanted: CardFilter) -> list[sa.ColumnElement[bool]]:
    """The conditions on a score."""
    least = [] if wanted.least is None else [score >= wanted.least]
    return least if wanted.most is None else [*least, score <= wanted.most]


def _stretches(wanted: CardFilter, cameras: list[int]) -> list[list[sa.ColumnElement[bool]]]:
    """The conditions of each stretch of an index that holds visits that may be wanted.

    With `+ 0` and `+ ''` SQLite takes a condition for none that another index would serve.
    """
    visit = schema.visit.c
    at_camera = [] if wanted.camera is None else [(visit.camera_id + 0).in_(cameras)]
    states = [state.value for state in wanted.states or BIRDS]
    if wanted.rare or wanted.firsts:
        species = [] if wanted.species is None else [visit.species + "" == wanted.species]
        return [[(visit.state + "").in_(states), *at_camera, *species]]
    if wanted.species is not None:
        return [[visit.species == wanted.species, *at_camera]]
    bounded = wanted.least is not None or wanted.most is not None
    if wanted.camera is None and not (wanted.states or wanted.unreviewed or bounded):
        return [[visit.state != State.REJECTED.value]]
    return [[visit.camera_id == one, visit.state == state] for one, state in product(cameras, states)]


def _of_stretch(
    stretch: Sequence[sa.ColumnElement[bool]], wanted: CardFilter, place: Place | None, limit: int, newer: bool
) -> sa.Select[Any]:
    """The query of the next visits of one stretch."""
    visit = schema.visit.c
    return _next(visit, [*stretch, *_of_score(visit.score + 0, wanted)], wanted, place, limit, newer)


def _next(
    visit: Any,
    conditions: Sequence[sa.ColumnElement[bool]],
    wanted: CardFilter,
    place: Place | None,
    limit: int,
    newer: bool,
) -> sa.Select[Any]:
    """The next visits for which the conditions hold, and all of the filter but species, camera, state and score.

    Of two ends on one side only the nearer one is asked for: SQLite would begin at the farther one.

    Args:
        visit: the columns of the table, or of some of its rows.
    """
    query, table = sa.select(visit.id, visit.started_at).where(*conditions), visit.id.table.name
    since, until = wanted.since, min(wanted.until or _END_OF_TIME, _END_OF_TIME)
    at = None if place is None else sa.tuple_(sa.literal(place.start, visit.started_at.type), place.visit_id)
    mine = sa.tuple_(visit.started_at, visit.id)
    if newer and place is not None and (since is None or place.start >= since):
        since, query = place.start, query.where(mine > at)
    if since is not None:
        query = query.where(visit.started_at >= since)
    if not newer and place is not None and place.start < until:
        query = query.where(visit.started_at <= place.start, mine < at)
    else:
        query = query.where(visit.started_at < until)
    if wanted.firsts:
        query = query.where(sa.literal_column(f"{table}.firsts") != sa.literal_column("'[]'"))
    if wanted.rare:  # firsts are fewer, and their index says which are rare
        query = query.where(sa.literal_column(f"{table}.rare + 0") == 1 if wanted.firsts else visit.rare.is_(True))
    if wanted.unreviewed:
        query = query.where(sa.literal_column(f"{table}.reviewed + 0") == 0)
    if wanted.over:
        query = query.where(visit.ended_at.is_not(None))
    order = (visit.started_at, visit.id)
    return query.order_by(*(order if newer else (one.desc() for one in order))).limit(limit)


def _cards(connection: Connection, visit_ids: Sequence[str]) -> tuple[Card, ...]:
    """These visits in this order; one that is gone meanwhile is left out."""
    moment = schema.moment.c
    kept = sa.select(moment.visit_id, moment.idx, moment.bird_evidence, moment.quality)
    kept = kept.where(moment.visit_id.in_(visit_ids), moment.crop.is_not(None))
    best: dict[str, tuple[tuple[bool, float, float], int]] = {}
    for row in connection.execute(kept):
        rank = (rank_of(row.bird_evidence, row.quality), row.idx)
        best[row.visit_id] = max(best.get(row.visit_id, rank), rank)
    cards: dict[str, Card] = {}
    for found in connection.execute(stored_visits().where(schema.visit.c.id.in_(visit_ids))):
        picture = best[found.id][1] if found.id in best else None
        cards[found.id] = Card(to_stored_visit(found), picture, found.reviewed)
    return tuple(cards[one] for one in visit_ids if one in cards)
