"""Log which alert rule fired for which visit, inside the transaction that writes the visit.

Which rule fires is decided elsewhere: the writer is given a function (`Decide`) and calls it once for each revision
that is written. What it returns is kept together with the visit and the messages, so that kill -9 can neither lose nor
double an alert, and cooldowns and daily caps always count the alerts that were sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from birdwatchd.records import Message, Phase, Visit
from birdwatchd.store import outbox, schema
from birdwatchd.store.news import StoredVisit
from birdwatchd.store.timekeeping.doubt import is_dated

__all__ = ["AlertContext", "Decide", "Fired", "History", "Outcome", "fired_for", "last_seen", "write"]


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule fired for a visit.

    Attributes:
        state, species, name, phase: the visit's when this rule was last evaluated. `species` is what cooldowns go by,
            empty for a bird without a name; `name` is what it was called.
        stands: the alert was not retracted.
        channels: that were notified.
    """

    rule: str
    state: str
    species: str
    name: str | None
    phase: Phase
    stands: bool
    channels: tuple[str, ...]


class History:
    """What the database says of other visits and their alerts. Lives as long as its transaction."""

    def __init__(self, connection: Connection, visit_id: str) -> None:
        """
        Args:
            visit_id: of the visit that is being written, which is left out of everything.
        """
        self._connection, self._visit_id = connection, visit_id

    def last_seen(self, species: str, before: datetime) -> datetime | None:
        """When the newest other visit of this confirmed species began, not later than `before`."""
        return last_seen(self._connection, species, before, self._visit_id)

    def fired_within(self, rule: str, species: str, start: datetime, span: timedelta) -> bool:
        """Whether the rule fired for another visit of `species` that began less than `span` before or after `start`."""
        alert = schema.alert.c
        query = sa.select(alert.id).where(
            alert.rule == rule,
            alert.species == species,
            alert.stands.is_(True),
            alert.started_at > start - span,
            alert.started_at < start + span,
            alert.visit_id != self._visit_id,
            _of_dated_visit(),
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def fired_between(self, rule: str, since: datetime, until: datetime) -> int:
        """For how many other visits that began in this time, `until` excluded, the rule fired, retracted or not."""
        alert = schema.alert.c
        query = sa.select(sa.func.count()).where(
            alert.rule == rule,
            alert.started_at >= since,
            alert.started_at < until,
            alert.visit_id != self._visit_id,
            _of_dated_visit(),
        )
        return int(self._connection.execute(query).scalar_one())


@dataclass(frozen=True, slots=True)
class AlertContext:
    """All that is needed to decide which rules fire for one visit revision.

    Attributes:
        fired: what fired for this visit before, by rule.
        best_crop: reads the JPEG of the visit's best crop; returns None where there is none.
    """

    stored: StoredVisit
    now: datetime
    history: History
    fired: Mapping[str, Fired]
    best_crop: Callable[[], bytes | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A rule fired, or was evaluated again for a visit for which it had fired; and the messages about that."""

    fired: Fired
    messages: tuple[Message, ...] = ()


Decide = Callable[[AlertContext], Sequence[Outcome]]


def last_seen(connection: Connection, species: str, before: datetime, visit_id: str) -> datetime | None:
    """When the newest visit of a confirmed species other than `visit_id` began, not later than `before`."""
    visit = schema.visit.c
    query = sa.select(visit.started_at).where(visit.species == species, visit.started_at <= before)
    newest = query.where(visit.id != visit_id, is_dated(visit.clock)).order_by(visit.started_at.desc()).limit(1)
    found: datetime | None = connection.execute(newest).scalar()
    return found


def _of_dated_visit() -> sa.ColumnElement[bool]:
    visit = schema.visit.c
    return sa.exists().where(visit.id == schema.alert.c.visit_id, is_dated(visit.clock))


def fired_for(connection: Connection, visit_id: str) -> dict[str, Fired]:
    """What fired for a visit, by rule."""
    alert = schema.alert
    return {
        row.rule: Fired(
            row.rule, row.state, row.species, row.name, Phase(row.phase), bool(row.stands), tuple(row.channels)
        )
        for row in connection.execute(sa.select(alert).where(alert.c.visit_id == visit_id))
    }


def write(connection: Connection, visit: Visit, outcomes: Sequence[Outcome], now: datetime) -> bool:
    """Keep what was decided for a visit revision, and queue its messages; whether there are any."""
    for outcome in outcomes:
        fired = outcome.fired
        values = {
            "rule": fired.rule,
            "visit_id": visit.visit_id,
            "started_at": visit.start,
            "fired_at": now,
            "state": fired.state,
            "species": fired.species,
            "name": fired.name,
            "phase": fired.phase.value,
            "stands": fired.stands,
            "channels": list(fired.channels),
        }
        insert = sqlite.insert(schema.alert).values(values)
        kept = ("rule", "visit_id", "started_at", "fired_at")
        changes = {name: insert.excluded[name] for name in values if name not in kept}
        connection.execute(insert.on_conflict_do_update(index_elements=["rule", "visit_id"], set_=changes))
        outbox.add(connection, outcome.messages, now, visit.visit_id, visit.revision)
    return any(outcome.messages for outcome in outcomes)
