"""Remember the stretches in which the station's time went on evenly: one for each run, one more when a clock is set.

While nothing keeps the system's clock right, a stretch is as wrong as the clock was at its start. When the clock is put
right, everything that the run stamped before is put right by as much, in one transaction. What a synchronised clock
stamped stays, except for what then lies in the future: that is marked, and counts for nothing until it is shifted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from birdwatchd.clock import BUILT, ClockChange, StationClock
from birdwatchd.errors import StoreError
from birdwatchd.records import Moment, Visit
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.media import MARK_NAME
from birdwatchd.store.timekeeping.doubt import Doubt, is_dated
from birdwatchd.store.timekeeping.shift import SLACK, Shifted, mark_ahead, new_stretch, reassign_firsts, shift_stretch

__all__ = ["Clocks", "Stretch", "stretches"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of even time.

    Attributes:
        began_at: as it is stamped.
        newest_at: of what is stamped in it; None for an empty one.
        synchronised: something kept the clock right.
        doubt: how its times are wrong, as far as that is known.
        shifted_s: what was added to all that is stamped in it.
        visits: how many.
        of_newest_run: it is that of the newest run, which may be going on.
    """

    number: int
    began_at: datetime
    newest_at: datetime | None
    synchronised: bool
    doubt: Doubt | None
    shifted_s: float
    visits: int
    of_newest_run: bool


class _Undo(Exception):  # nothing went wrong
    """Leave a transaction without its changes."""


class Clocks:
    """The stretches of one home."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        """
        Args:
            zone: whose midnight ends a day, for firsts.
        """
        self._database, self._zone = database, zone
        self.current: int | None = None
        self._unsure: list[int] = []  # of this run, as wrong as each other

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep writers of this process out: who reads the time within, and writes by it, writes by the right one."""
        with self._database.lock:
            yield

    def begin(self, clock: StationClock) -> Shifted:
        """A run begins: let its clock start where it must, and number what it stamps. Call it before any camera.

        Returns:
            What lies after a time that is known to be right, and was marked.

        Raises:
            StoreBusy, StoreFull: nothing was changed; call again.
        """
        with self.alone():
            with self._database.reading() as connection:
                newest = _newest(connection)
            clock.begin(newest)
            with self._database.writing() as connection:
                now = clock.now()
                marked = self._mark_ahead(connection, now) if clock.synchronised else Shifted()
                last = connection.execute(_newest_run()).first()
                sure = now if clock.synchronised else min(now, _sure_after(connection, last, newest or now))
                _cap_sure(connection, sure)
                if last is not None and clock.synchronised and last.synchronised and last.doubt is None:
                    number = int(last.id)  # both are right: one time
                else:
                    doubt = Doubt.BEHIND if clock.behind else None
                    number = new_stretch(connection, now, sure, synchronised=clock.synchronised, doubt=doubt)
            self._take(clock, number, sure)
        return marked

    def change(self, clock: StationClock, change: ClockChange) -> Shifted:
        """The system's clock was set, or is right from now on: follow it, and put right what was stamped before.

        Returns:
            What was moved, or marked as too late.

        Raises:
            StoreBusy, StoreFull: nothing was changed, also not in the clock; call again.
        """
        with self.alone():
            now, sure = clock.now() + change.by, clock.certain()
            done = Shifted()
            with self._database.writing() as connection:
                if not change.was_synchronised:
                    for number in self._unsure if change.by else ():
                        done += shift_stretch(connection, number, change.by, self._zone)
                if change.synchronised:
                    done += self._mark_ahead(connection, now)
                    sure = now
                _cap_sure(connection, min(now, sure))
                number = self._next(connection, change, now, sure)
            clock.accept(change)
            self._take(clock, number, sure)
        if change.by < timedelta():  # the next sweep could not tell by their times which folders have changed
            (self._database.home / "media" / MARK_NAME).unlink(missing_ok=True)
        return done

    def _next(self, connection: Connection, change: ClockChange, now: datetime, sure: datetime) -> int:
        """The number of what is stamped from now on."""
        table = schema.clock
        if change.by or self.current is None:
            return new_stretch(connection, now, min(now, sure), synchronised=change.synchronised, doubt=None)
        mine = table.c.id.in_([*self._unsure, self.current])
        connection.execute(sa.update(table).where(mine).values(synchronised=True, doubt=None))
        return self.current

    def _take(self, clock: StationClock, number: int, sure: datetime) -> None:
        if clock.synchronised:
            self._unsure = []
        elif number not in self._unsure:
            self._unsure.append(number)
        self.current = number
        clock.number(number, sure)

    def _mark_ahead(self, connection: Connection, now: datetime) -> Shifted:
        marked = mark_ahead(connection, now)
        visit = schema.visit.c
        species = set[str]()
        for first in range(0, len(marked.visits), 500):
            chosen = marked.visits[first : first + 500]
            query = sa.select(visit.species).where(visit.id.in_(chosen), visit.species.is_not(None)).distinct()
            species.update(name for name in connection.execute(query).scalars() if name is not None)
        return marked + Shifted(firsts=reassign_firsts(connection, species, self._zone))

    def dated(self, visit: Visit, moments: Sequence[Moment]) -> tuple[Visit, list[Moment]]:
        """A visit and its moments as they are to be stored, given as its camera stamped them.

        What is said of a visit that began before the clock was set is put right as the rest of it was.
        """
        if visit.clock is None or (by := self._shifted(visit.clock)) == timedelta():
            return visit, list(moments)
        end, seen = (None if at is None else at + by for at in (visit.end, visit.last_seen))
        moved = replace(visit, start=visit.start + by, end=end, last_seen=seen)
        return moved, [replace(moment, at=moment.at + by) for moment in moments]

    def _shifted(self, stretch: int) -> timedelta:
        query = sa.select(schema.clock.c.shifted_s).where(schema.clock.c.id == stretch)
        with self._database.reading() as connection:
            return timedelta(seconds=connection.execute(query).scalar() or 0.0)

    def shift(
        self,
        by: timedelta,
        now: datetime,
        *,
        stretch: int | None = None,
        span: tuple[datetime, datetime] | None = None,
        dry_run: bool = False,
    ) -> Shifted:
        """Add some time to everything of a stretch, or to what was stamped in a span by an older version.

        Args:
            stretch, span: one of them.
            dry_run: change nothing, and say what it would be.

        Raises:
            StoreError: there is no such stretch, or nothing in the span; or it would lie in the future.
        """
        done = Shifted()
        with suppress(_Undo), self.alone(), self._database.writing() as connection:
            if span is not None:
                stretch = _adopt(connection, span)
            if stretch is None or not _exists(connection, stretch):
                raise StoreError(f"there is no stretch {stretch}", "see `birdwatchd clock`")
            done = shift_stretch(connection, stretch, by, self._zone)
            newest = _newest(connection, stretch)
            if newest is not None and newest > now + SLACK:
                raise StoreError(
                    f"the newest of it would be of {newest:%Y-%m-%d %H:%M} UTC, which has not come", "shift it by less"
                )
            if dry_run:
                raise _Undo
        return done

    def trust(self, now: datetime, *, dry_run: bool = False) -> Shifted:
        """A person says that the clock is right: mark what lies after now, which one that was ahead has stamped."""
        done = Shifted()
        with suppress(_Undo), self.alone(), self._database.writing() as connection:
            done = self._mark_ahead(connection, now)
            if dry_run:
                raise _Undo
        return done


def stretches(database: Database) -> list[Stretch]:
    """All that are known, oldest first."""
    table, visit = schema.clock.c, schema.visit.c
    number = sa.select(sa.func.count()).where(visit.clock == table.id).scalar_subquery()
    with database.reading() as connection:
        run = connection.execute(_newest_run()).first()
        rows = connection.execute(sa.select(schema.clock, number.label("visits")).order_by(table.id)).all()
        return [
            Stretch(
                row.id,
                row.began_at,
                _newest(connection, row.id),
                bool(row.synchronised),
                None if row.doubt is None else Doubt(row.doubt),
                float(row.shifted_s),
                row.visits,
                run is not None and row.id == run.id,
            )
            for row in rows
        ]


def _newest(connection: Connection, stretch: int | None = None) -> datetime | None:
    """The newest time that this station stamped, in one stretch or in all that are not ahead; None for none."""
    visit, effort = schema.visit, schema.effort
    chosen = (visit.c.clock == stretch, effort.c.clock == stretch)
    if stretch is None:
        chosen = (sa.and_(visit.c.media.is_(None), is_dated(visit.c.clock)), is_dated(effort.c.clock))
    queries = (
        sa.select(sa.func.max(visit.c.last_seen_at)).where(chosen[0]),
        sa.select(sa.func.max(effort.c["to"])).where(chosen[1]),
    )
    found = [connection.execute(query).scalar() for query in queries]
    return max((at for at in found if at is not None), default=None)


def _sure_after(connection: Connection, last: Row[Any] | None, newest: datetime) -> datetime:
    """A time that has certainly come when a run begins: that of the last one's start, and as long as it ran."""
    if last is None:
        return newest
    until = _newest(connection, last.id)
    ran = timedelta() if until is None else max(timedelta(), until - last.began_at)
    sure: datetime = last.sure_at + ran
    return sure


def _unstamped(since: datetime, until: datetime) -> sa.ColumnElement[bool]:
    visit = schema.visit.c
    return sa.and_(visit.clock.is_(None), visit.media.is_(None), visit.started_at >= since, visit.started_at < until)


def _adopt(connection: Connection, span: tuple[datetime, datetime]) -> int:
    """Put what an older version stamped in a span into a stretch of its own; its number.

    Raises:
        StoreError: there is nothing.
    """
    since, until = span
    effort = schema.effort.c
    of_effort = sa.and_(effort.clock.is_(None), effort["from"] >= since, effort["to"] < until)
    visits = connection.execute(sa.select(sa.func.count()).select_from(schema.visit).where(_unstamped(since, until)))
    spans = connection.execute(sa.select(sa.func.count()).select_from(schema.effort).where(of_effort))
    if not visits.scalar_one() + spans.scalar_one():
        raise StoreError(
            f"no older version stamped anything from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC",
            "see `birdwatchd visits`",
        )
    stretch = new_stretch(connection, since, BUILT, synchronised=False, doubt=None)
    connection.execute(sa.update(schema.visit).where(_unstamped(since, until)).values(clock=stretch))
    connection.execute(sa.update(schema.effort).where(of_effort).values(clock=stretch))
    return stretch


def _cap_sure(connection: Connection, sure: datetime) -> None:
    """What an earlier run took for certain was too much, where now no more is."""
    table = schema.clock
    connection.execute(sa.update(table).where(table.c.sure_at > sure).values(sure_at=sure))


def _newest_run() -> sa.Select[Any]:
    """The stretch of the newest run; not one that was made afterwards, of which `sure_at` knows nothing."""
    return sa.select(schema.clock).order_by(schema.clock.c.sure_at.desc(), schema.clock.c.id.desc()).limit(1)


def _exists(connection: Connection, stretch: int) -> bool:
    return connection.execute(sa.select(schema.clock.c.id).where(schema.clock.c.id == stretch)).first() is not None
