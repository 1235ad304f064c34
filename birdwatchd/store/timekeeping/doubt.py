"""Leave out what lies on a date that has not come: visits stamped by a clock that was ahead, until they are shifted."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from birdwatchd.store import schema

__all__ = ["Doubt", "is_dated"]


class Doubt(StrEnum):
    """How the times of a stretch are wrong."""

    BEHIND = "behind"
    AHEAD = "ahead"


def is_dated(stretch: sa.ColumnElement[int | None]) -> sa.ColumnElement[bool]:
    """Whether the time of a row counts for what comes after it; false for dates that are later than possible.

    Args:
        stretch: the row's column `clock`.
    """
    ahead = sa.select(schema.clock.c.id).where(schema.clock.c.doubt == Doubt.AHEAD.value)
    return sa.or_(stretch.is_(None), stretch.not_in(ahead))
