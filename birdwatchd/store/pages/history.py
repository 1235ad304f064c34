"""Read what became of one visit: whom it was told, which rules fired, and what people said of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from birdwatchd.store import schema
from birdwatchd.store.database import Database

__all__ = ["AlertFired", "Histories", "SaidReview", "VisitHistory"]


@dataclass(frozen=True, slots=True)
class AlertFired:
    """A rule fired for the visit. `channels` were notified; it no longer stands when it was retracted."""

    rule: str
    at: datetime
    name: str | None
    channels: tuple[str, ...]
    stands: bool


@dataclass(frozen=True, slots=True)
class SaidReview:
    """What a person said of the visit: `confirm`, `species` (then which) or `not_a_bird`."""

    at: datetime
    verdict: str
    species: str | None
    by: str


@dataclass(frozen=True, slots=True)
class VisitHistory:
    """What became of a visit.

    Attributes:
        told_at: when the broker first acknowledged a message about it; None where none has (yet).
        queued: a message about it was written for the broker.
        reviews: oldest first.
    """

    told_at: datetime | None
    queued: bool
    alerts: tuple[AlertFired, ...]
    reviews: tuple[SaidReview, ...]


class Histories:
    """What became of visits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, visit_id: str) -> VisitHistory:
        """What became of one visit; empty where there is no such visit."""
        visit, alert, review = schema.visit.c, schema.alert.c, schema.review.c
        with self._database.reading() as connection:
            published = connection.execute(
                sa.select(visit.told_at, visit.told_revision).where(visit.id == visit_id)
            ).first()
            fired = connection.execute(
                sa.select(schema.alert).where(alert.visit_id == visit_id).order_by(alert.fired_at)
            ).all()
            said = connection.execute(
                sa.select(schema.review).where(review.visit_id == visit_id).order_by(review.id)
            ).all()
        return VisitHistory(
            published.told_at if published else None,
            published is not None and published.told_revision is not None,
            tuple(AlertFired(one.rule, one.fired_at, one.name, tuple(one.channels), bool(one.stands)) for one in fired),
            tuple(SaidReview(one.at, one.verdict, one.species, one.by) for one in said),
        )
