"""Review a visit: a person's verdict takes the place of the network's, which is kept, and can be undone.

The rows of `review` are what people said, newest last; those of `superseded` are the verdicts that a review or a
relabelling replaced. While a visit has a review, whatever the network says later changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from birdwatchd.errors import ReviewRefused
from birdwatchd.records import Label, Rank, State, Verdict, Visit
from birdwatchd.store import schema

__all__ = ["Review", "ReviewVerdict", "archive_verdict", "has_review", "is_said", "reviewed", "undo_review"]


class ReviewVerdict(StrEnum):
    """What a person may say of a visit; the column `review.verdict` holds these values."""

    CONFIRM = "confirm"
    SPECIES = "species"
    NOT_A_BIRD = "not_a_bird"


@dataclass(frozen=True, slots=True)
class Review:
    """What one person says of one visit.

    Attributes:
        label: the species, for `ReviewVerdict.SPECIES` only.
        by: who said it.
    """

    verdict: ReviewVerdict
    by: str
    label: Label | None = None

    @property
    def species(self) -> str | None:
        """The name by which the species is remembered: scientific where it has one."""
        return (self.label.scientific_name or self.label.common_name) if self.label else None


def reviewed(visit: Visit, review: Review) -> Verdict:
    """The verdict as the person wants it.

    Raises:
        ReviewRefused: there is nothing to confirm.
    """
    verdict = visit.verdict
    confirmed = replace(verdict, state=State.CONFIRMED, score=1.0, rare=False, reasons=(f"reviewed by {review.by}",))
    if review.verdict is ReviewVerdict.NOT_A_BIRD:
        nothing = replace(confirmed, state=State.REJECTED, rank=Rank.BIRD, common_name=None, scientific_name=None)
        return replace(nothing, reasons=(f"not a bird, says {review.by}",))
    if review.verdict is ReviewVerdict.SPECIES:
        assert review.label is not None
        name, scientific = review.label.common_name, review.label.scientific_name
        return replace(confirmed, rank=Rank.SPECIES, common_name=name, scientific_name=scientific)
    if verdict.common_name is None:
        raise ReviewRefused(f"visit {visit.visit_id} has no name to confirm", "say which species it is")
    return replace(confirmed, rare=verdict.rare)


def has_review(connection: Connection, visit_id: str) -> bool:
    """Whether a person reviewed this visit."""
    table = schema.review.c
    return connection.execute(sa.select(table.id).where(table.visit_id == visit_id).limit(1)).first() is not None


def is_said(connection: Connection, visit: Visit, review: Review) -> bool:
    """Whether this is what the same person said of the visit last: a key that was pressed twice says nothing new."""
    table = schema.review.c
    newest = sa.select(table.by).where(table.visit_id == visit.visit_id).order_by(table.id.desc()).limit(1)
    if connection.execute(newest).scalar() != review.by:
        return False
    now, then = visit.verdict, reviewed(visit, review)
    names = (now.common_name, now.scientific_name) == (then.common_name, then.scientific_name)
    return names and (now.state, now.rank) == (then.state, then.rank)


def archive_verdict(connection: Connection, visit: Visit, model_id: int, cause: str, now: datetime) -> None:
    """Keep the verdict that a visit has now, before another replaces it.

    Args:
        cause: `review`, or `relabel`.
    """
    verdict = visit.verdict
    connection.execute(
        sa.insert(schema.superseded).values(
            visit_id=visit.visit_id,
            at=now,
            cause=cause,
            state=verdict.state.value,
            rank=verdict.rank.value,
            common_name=verdict.common_name,
            scientific_name=verdict.scientific_name,
            score=float(verdict.score),
            top=[[name, float(p)] for name, p in verdict.top],
            reasons=list(verdict.reasons),
            raw_score=verdict.raw_score,
            raw_top=[[name, float(p)] for name, p in verdict.raw_top] or None,
            rare=verdict.rare,
            model_id=model_id,
        )
    )


def undo_review(connection: Connection, visit_id: str, said_at: datetime | None = None) -> Verdict:
    """Delete the newest review of a visit; returns the verdict that it had replaced.

    Args:
        said_at: only if it was said then; by default whenever.

    Raises:
        ReviewRefused: there is none.
    """
    review, superseded = schema.review.c, schema.superseded.c
    mine = sa.select(review.id, review.at).where(review.visit_id == visit_id).order_by(review.id.desc()).limit(1)
    last = connection.execute(mine).first()
    archived = sa.select(schema.superseded).where(superseded.visit_id == visit_id, superseded.cause == "review")
    before = connection.execute(archived.order_by(superseded.id.desc()).limit(1)).first()
    if last is None or before is None or said_at not in (None, last.at):
        raise ReviewRefused(f"visit {visit_id} has no review to take back", "see `birdwatchd visits`")
    connection.execute(sa.delete(schema.review).where(review.id == last.id))
    connection.execute(sa.delete(schema.superseded).where(superseded.id == before.id))
    return verdict_of(before)


def verdict_of(row: Row[tuple[object, ...]]) -> Verdict:
    """The verdict in a row of `visit` or of `superseded`."""
    return Verdict(
        state=State(row.state),
        rank=Rank(row.rank),
        common_name=row.common_name,
        scientific_name=row.scientific_name,
        score=float(row.score),
        top=tuple((str(name), float(p)) for name, p in row.top),
        reasons=tuple(row.reasons),
        raw_score=row.raw_score,
        raw_top=tuple((str(name), float(p)) for name, p in row.raw_top or ()),
        rare=bool(row.rare),
    )
