"""Read labelled examples for naming to learn from: reviewed visits, and the newest that were confirmed.

What only the network confirmed is no example where nothing in it moved like an animal: a leaf that was named once would
soon be what that species looks like here.

Each has the embeddings and logits of a few of its moments, all of one model; embeddings of two models do not compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import LIFELESS, FloatArray, HalfArray, Label, Rank, State
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.embeddings import is_model
from birdwatchd.store.reader import rank_of
from birdwatchd.store.reviews import ReviewVerdict
from birdwatchd.store.timekeeping.doubt import is_dated

__all__ = ["MOMENTS", "Examples", "VisitExample"]

MOMENTS = 4  # of a visit that are read: those that show most of a bird
_PAGE = 250  # visits whose moments are read at once


@dataclass(frozen=True, slots=True, eq=False)
class VisitExample:
    """A visit that one model named.

    Attributes:
        predicted: the name that was most probable to the network.
        review: the newest one's verdict; None where there is none.
        truth: what it is by that review; None for no bird, and without a review.
        embeddings: float16, shape (moments, dim).
        logits: float32, shape (moments, classes); None where some were not kept.
        qualities: of the moments' crops, 0 … 1.
    """

    visit_id: str
    predicted: str
    review: ReviewVerdict | None
    truth: Label | None
    embeddings: HalfArray
    logits: FloatArray | None
    qualities: tuple[float, ...]


class Examples:
    """What a model can learn from, and what was learned of it before."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_model(self, model: str, limit: int) -> Iterator[VisitExample]:
        """Up to `limit` reviewed visits and as many confirmed ones that a model named, newest first."""
        query = sa.select(schema.model.c.id).where(is_model(model))
        with self._database.reading() as connection:
            number = connection.execute(query).scalar()
            if number is not None:
                yield from _examples(connection, number, limit)

    def reviews_version(self) -> tuple[int, datetime | None]:
        """What changes whenever a review is written or undone, by any process: their number, and the newest one's time.

        Its id says less: SQLite gives that of an undone review to the next one.
        """
        review = schema.review.c
        newest = sa.select(review.at).order_by(review.id.desc()).limit(1)
        with self._database.reading() as connection:
            number = connection.execute(sa.select(sa.func.count(review.id))).scalar_one()
            return int(number), connection.execute(newest).scalar()

    def temperature(self, model: str) -> float:
        """By what a model's logits are to be divided; 1 for a model that was never calibrated."""
        query = sa.select(schema.calibration.c.temperature).join(schema.model).where(is_model(model))
        with self._database.reading() as connection:
            return float(connection.execute(query).scalar() or 1.0)


def _examples(connection: Connection, model_id: int, limit: int) -> Iterator[VisitExample]:
    visit, review = schema.visit.c, schema.review.c
    newest_id = sa.select(sa.func.max(review.id).label("id")).group_by(review.visit_id).subquery()
    newest = sa.select(review.visit_id, review.verdict).join(newest_id, newest_id.c.id == review.id).subquery()
    columns = (visit.id, visit.common_name, visit.scientific_name, visit.top, visit.raw_top, newest.c.verdict)
    query = sa.select(*columns).where(visit.model_id == model_id).limit(limit)
    query = query.order_by(visit.started_at.desc(), visit.id.desc())
    reviewed = query.join(newest, newest.c.visit_id == visit.id)
    alone = query.join(newest, newest.c.visit_id == visit.id, isouter=True).where(newest.c.visit_id.is_(None))
    confirmed = alone.where(
        visit.state == State.CONFIRMED.value, visit.rank == Rank.SPECIES.value, is_dated(visit.clock)
    ).where(sa.cast(visit.reasons, sa.Text).not_like(f"%{LIFELESS}%"))
    for rows in (connection.execute(reviewed).all(), connection.execute(confirmed).all()):
        for first in range(0, len(rows), _PAGE):
            yield from _with_moments(connection, model_id, rows[first : first + _PAGE])


def _with_moments(connection: Connection, model_id: int, rows: Sequence[Any]) -> Iterator[VisitExample]:
    moment = schema.moment.c
    query = (
        sa.select(moment.visit_id, moment.quality, moment.embedding, moment.logits, moment.bird_evidence)
        .where(moment.visit_id.in_([row.id for row in rows]), moment.model_id == model_id)
        .order_by(moment.visit_id, moment.idx)
    )
    moments: dict[str, list[Any]] = {}
    for one in connection.execute(query):
        moments.setdefault(one.visit_id, []).append(one)
    for row in rows:
        mine, top = moments.get(row.id, []), row.raw_top or row.top
        if mine and top:
            yield _example(row, top[0][0], _chosen(mine))


def _chosen(moments: Sequence[Any]) -> list[Any]:
    """The moments that show most of a bird; where that was not kept, some spread over the visit."""
    known = [one for one in moments if one.bird_evidence is not None]
    known.sort(key=lambda one: rank_of(one.bird_evidence, one.quality), reverse=True)
    spread = np.unique(np.linspace(0, len(moments) - 1, MOMENTS).round().astype(int))
    return known[:MOMENTS] or [moments[i] for i in spread]


def _example(row: Any, predicted: str, moments: Sequence[Any]) -> VisitExample:
    review = ReviewVerdict(row.verdict) if row.verdict else None
    named = review in (ReviewVerdict.CONFIRM, ReviewVerdict.SPECIES) and row.common_name is not None
    whole = all(one.logits is not None for one in moments)
    return VisitExample(
        visit_id=row.id,
        predicted=predicted,
        review=review,
        truth=Label(row.common_name, row.scientific_name) if named else None,
        embeddings=np.stack([np.frombuffer(one.embedding, "<f2").astype(np.float16) for one in moments]),
        logits=np.stack([np.frombuffer(one.logits, "<f2").astype(np.float32) for one in moments]) if whole else None,
        qualities=tuple(one.quality for one in moments),
    )
