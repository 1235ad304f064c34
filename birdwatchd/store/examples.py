"""Read the visits that naming can learn from: what people had a say on, and the newest that were confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import FloatArray, HalfArray, Label, Rank, State
from birdwatchd.store import schema
from birdwatchd.store.reviews import Opinion

__all__ = ["MOMENTS", "VisitSeen", "reviews_mark", "visits_seen"]

MOMENTS = 4  # of a visit that are read, spread over it: the others look like these
_PAGE = 250  # visits whose moments are read at once


@dataclass(frozen=True, slots=True, eq=False)
class VisitSeen:
    """A visit that one model named.

    Attributes:
        said: the name that was most probable to the network.
        opinion: of the newest review; None where nobody had a say.
        truth: what it is by that review; None for no bird, and where nobody had a say.
        embeddings: float16, shape (moments, dim).
        logits: float32, shape (moments, classes); None where some were not kept.
        qualities: of the moments' pictures, 0 … 1.
    """

    visit_id: str
    said: str
    opinion: Opinion | None
    truth: Label | None
    embeddings: HalfArray
    logits: FloatArray | None
    qualities: tuple[float, ...]


def visits_seen(connection: Connection, model_id: int, limit: int) -> Iterator[VisitSeen]:
    """Up to `limit` reviewed visits and as many confirmed ones of a model, the newest."""
    visit, review = schema.visit.c, schema.review.c
    newest = sa.select(sa.func.max(review.id).label("id")).group_by(review.visit_id).subquery()
    spoken = sa.select(review.visit_id, review.verdict).join(newest, newest.c.id == review.id).subquery()
    columns = (visit.id, visit.common_name, visit.scientific_name, visit.top, visit.raw_top, spoken.c.verdict)
    query = sa.select(*columns).where(visit.model_id == model_id).order_by(visit.id.desc()).limit(limit)
    reviewed = query.join(spoken, spoken.c.visit_id == visit.id)
    alone = query.join(spoken, spoken.c.visit_id == visit.id, isouter=True).where(spoken.c.visit_id.is_(None))
    confirmed = alone.where(visit.state == State.CONFIRMED.value, visit.rank == Rank.SPECIES.value)
    for rows in (connection.execute(reviewed).all(), connection.execute(confirmed).all()):
        for at in range(0, len(rows), _PAGE):
            yield from _with_moments(connection, model_id, rows[at : at + _PAGE])


def reviews_mark(connection: Connection) -> tuple[int, int]:
    """A pair that changes whenever a review is written or taken back."""
    review = schema.review.c
    row = connection.execute(sa.select(sa.func.max(review.id), sa.func.count())).one()
    return int(row[0] or 0), int(row[1])


def _with_moments(connection: Connection, model_id: int, rows: Sequence[Any]) -> Iterator[VisitSeen]:
    moment = schema.moment.c
    query = (
        sa.select(moment.visit_id, moment.quality, moment.embedding, moment.logits)
        .where(moment.visit_id.in_([row.id for row in rows]), moment.model_id == model_id)
        .order_by(moment.visit_id, moment.idx)
    )
    moments: dict[str, list[Any]] = {}
    for one in connection.execute(query):
        moments.setdefault(one.visit_id, []).append(one)
    for row in rows:
        mine, top = moments.get(row.id, []), row.raw_top or row.top
        if mine and top:
            chosen = [mine[i] for i in np.unique(np.linspace(0, len(mine) - 1, MOMENTS).round().astype(int))]
            yield _visit_seen(row, top[0][0], chosen)


def _visit_seen(row: Any, said: str, moments: Sequence[Any]) -> VisitSeen:
    opinion = Opinion(row.verdict) if row.verdict else None
    named = opinion in (Opinion.CONFIRM, Opinion.SPECIES) and row.common_name is not None
    whole = all(one.logits is not None for one in moments)
    return VisitSeen(
        visit_id=row.id,
        said=said,
        opinion=opinion,
        truth=Label(row.common_name, row.scientific_name) if named else None,
        embeddings=np.stack([np.frombuffer(one.embedding, "<f2").astype(np.float16) for one in moments]),
        logits=np.stack([np.frombuffer(one.logits, "<f2").astype(np.float32) for one in moments]) if whole else None,
        qualities=tuple(one.quality for one in moments),
    )
