"""Decide what goes for the limits that are set, one thing after the other, least valuable first.

The plan is made lazily, month by month from the oldest on: who needs a little room reads a few folders, not the years
since. What it has given counts as gone, so that it ends as soon as enough is planned.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from birdwatchd.records import State
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store import schema
from birdwatchd.store.database import Database
from birdwatchd.store.reader import rank_of
from birdwatchd.store.retention.days import File, Folders, MonthFiles, VisitFiles
from birdwatchd.store.retention.value import FRESH_S, Item, Kind, Limit, Value, order

__all__ = ["Plan", "Usage"]

YOUNGEST_S = 3600.0  # nothing younger goes: its clip may still be on its way, and a message may show its picture
FALSE_DATE = timedelta(days=1)  # what begins later than this after now was stamped by a wrong clock
DAY_S = 86_400.0
GB = 1_000_000_000
PAGE = 500  # visits asked for at once
Month = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a home takes, and what is free on its disk, in bytes.

    Attributes:
        visits: number of those in the database.
        enough: what has to be free so that clips are recorded.
    """

    clips: int
    pictures: int
    database: int
    visits: int
    free: int
    enough: int = 0

    @property
    def total(self) -> int:
        """What counts for `max_gb`."""
        return self.clips + self.pictures + self.database


@dataclass(frozen=True, slots=True)
class _Stored:
    """A visit that is over, with its files."""

    visit_id: str
    started_at: datetime
    value: Value
    species: str | None
    files: VisitFiles


class Plan:
    """What goes, by `items`. Reads only. For one use, by one thread.

    Attributes:
        usage: what the home takes before anything goes.
    """

    def __init__(
        self, database: Database, folders: Folders, limits: RetentionSettings, usage: Usage, now: datetime
    ) -> None:
        self._database, self._folders, self._limits, self.usage, self._now = database, folders, limits, usage, now
        self._fresh_s = min(FRESH_S, FRESH_S if limits.keep_days is None else limits.keep_days * DAY_S)
        this_month = now.astimezone(UTC).year, now.astimezone(UTC).month
        months = folders.months()  # what a clock that was ahead put into a later month may be of any age
        self._folders_of = {month: months[month] for month in sorted(months, key=lambda one: (one <= this_month, one))}
        self._loaded: dict[Month, list[_Stored]] = {}
        self._best: dict[Month, set[tuple[str, int]]] = {}
        self._taken: set[tuple[Kind, str, bool]] = set()
        self._size = self._freed = 0  # of what was given

    @property
    def above_max(self) -> int:
        """Bytes that the home takes above `max_gb` once all that was given is gone; negative below it."""
        allowed = self._limits.max_gb
        return -1 if allowed is None else self.usage.total - self._size - round(allowed * GB)

    @property
    def below_free(self) -> int:
        """Bytes that are missing to `min_free_gb` once all that was given is gone; negative where there are more.

        A limit below which no clips would be recorded counts as the one from which they are.
        """
        wanted = self._limits.min_free_gb
        return -1 if wanted is None else max(round(wanted * GB), self.usage.enough) - self.usage.free - self._freed

    @property
    def problem(self) -> str:
        """Which limit cannot be kept though all that may go was given, and what to do; empty where all are kept."""
        if self.above_max > 0:
            return (
                f"the home takes {self.above_max / GB:.2f} GB more than max_gb, and nothing more may be deleted;"
                " raise max_gb"
            )
        if self.below_free > 0:
            return (
                f"{self.below_free / GB:.2f} GB are missing to min_free_gb, and deleting more would not help;"
                " see what else fills the disk, or whether backups are on it"
            )
        return ""

    def items(self) -> Iterator[Item]:
        """What goes, in the order in which to delete it.

        Raises:
            StoreBusy, StoreError: the database cannot be read.
        """
        for kind in (Kind.CLIP, Kind.PICTURES):
            yield from self._too_old(kind)
        for kind in (Kind.CLIP, Kind.PICTURES):
            yield from self._too_much(kind)
        yield from self._visits()

    def _give(self, item: Item, limit: Limit) -> Item:
        self._taken.add((item.kind, item.visit_id, item.value.by_age))
        self._size += item.size
        self._freed += item.freed
        return replace(item, limit=limit)

    def _too_old(self, kind: Kind) -> Iterator[Item]:
        if self._limits.keep_days is None:
            return
        for item in self._in_order(kind):
            if not item.value.by_age or item.age_s <= self._limits.keep_days * DAY_S:
                return
            yield self._give(item, Limit.KEEP_DAYS)

    def _too_much(self, kind: Kind) -> Iterator[Item]:
        """Clips or pictures, until there is room.

        For `min_free_gb` only what frees the disk goes, and no picture that cannot be taken again: another program may
        be what fills the disk, and then nothing would be left in the end.
        """
        if not (self.usage.clips if kind is Kind.CLIP else self.usage.pictures) or not self._needs_room:
            return
        for item in self._in_order(kind):
            if (kind, item.visit_id, item.value.by_age) in self._taken:
                continue
            if self.above_max > 0:
                yield self._give(item, Limit.MAX_GB)
            elif self.below_free > 0 and item.freed and (kind is Kind.CLIP or item.value.by_age):
                yield self._give(item, Limit.MIN_FREE_GB)
            if not self._needs_room:
                return

    @property
    def _needs_room(self) -> bool:
        return self.above_max > 0 or self.below_free > 0

    def _visits(self) -> Iterator[Item]:
        """Visits themselves, where all clips and pictures were not enough for `max_gb`.

        Never those that a person has reviewed, nor firsts: what comes later would be a first again. A row gives its
        room back to the database, not to the disk, so that none goes for `min_free_gb`.
        """
        if self.above_max <= 0:
            return
        each = self.usage.database // max(1, self.usage.visits)
        for row, value in self._rows_in_order():
            yield self._give(Item(Kind.VISIT, row.id, value, self._age_s(row.started_at), (), each, 0), Limit.MAX_GB)
            if self.above_max <= 0:
                return

    def _in_order(self, kind: Kind) -> Iterator[Item]:
        """Everything of one kind, as `order` says; months are read only when something of them may be next."""
        waiting: list[tuple[tuple[int, float, str], Item]] = []
        months = list(self._folders_of)
        for position, month in enumerate(months):
            for item in self._items_of(kind, month):
                heapq.heappush(waiting, (order(item, self._fresh_s), item))
            if position + 1 < len(months):
                later_s = self._age_s(datetime(*months[position + 1], 1, tzinfo=UTC) - timedelta(days=1))
                while waiting and self._goes_before(waiting[0][1], later_s):
                    yield heapq.heappop(waiting)[1]
        while waiting:
            yield heapq.heappop(waiting)[1]

    def _items_of(self, kind: Kind, month: Month) -> Iterator[Item]:
        for visit in self._load(month):
            if kind is Kind.CLIP:
                clip = visit.files.clip
                groups = {visit.value: [clip] if clip is not None else []}
            else:
                groups = self._pictures_by_value(visit, month)
            for value, files in groups.items():
                if files:
                    freed = sum(file.size for file in files if not file.shared)
                    names, size = tuple(sorted(file.name for file in files)), sum(file.size for file in files)
                    yield Item(kind, visit.visit_id, value, self._age_s(visit.started_at), names, size, freed)

    def _pictures_by_value(self, visit: _Stored, month: Month) -> dict[Value, list[File]]:
        """The pictures of a visit: all have its value, but the best one of its species in the month may have more."""
        groups: dict[Value, list[File]] = {visit.value: []}
        for index, file in visit.files.pictures.items():
            best = visit.value.by_age and (visit.visit_id, index) in self._best_of(month)
            frame = visit.files.frames.get(index)
            group = groups.setdefault(Value.BEST_OF_MONTH if best else visit.value, [])
            group += [file] if frame is None else [file, frame]
        return groups

    def _load(self, month: Month) -> list[_Stored]:
        """The visits of a month that are over and have files."""
        if month not in self._loaded:
            files = self._folders.files(self._folders_of[month])
            self._loaded[month] = list(self._stored(files))
        return self._loaded[month]

    def _stored(self, files: MonthFiles) -> Iterator[_Stored]:
        visit, ids = schema.visit.c, sorted(files)
        for first in range(0, len(ids), PAGE):
            query = _with_value().where(visit.id.in_(ids[first : first + PAGE]), visit.ended_at.is_not(None))
            with self._database.reading() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                if self._age_s(row.started_at) >= YOUNGEST_S:
                    yield _Stored(row.id, row.started_at, _value_of(row), row.species, files[row.id])

    def _best_of(self, month: Month) -> set[tuple[str, int]]:
        """The best picture of each species in a month, as (visit id, index of the moment)."""
        if month not in self._best:
            species = {one.visit_id: one.species for one in self._load(month) if one.species and one.files.pictures}
            files = {one.visit_id: one.files.pictures for one in self._load(month)}
            best: dict[str, tuple[tuple[bool, float, float], str, int]] = {}
            moment, ids = schema.moment.c, sorted(species)
            for first in range(0, len(ids), PAGE):
                columns = sa.select(moment.visit_id, moment.idx, moment.bird_evidence, moment.quality)
                query = columns.where(moment.visit_id.in_(ids[first : first + PAGE]), moment.crop.is_not(None))
                with self._database.reading() as connection:
                    rows = connection.execute(query).all()
                for row in rows:
                    name = species[row.visit_id]
                    found = rank_of(row.bird_evidence, row.quality), row.visit_id, row.idx
                    if name is not None and row.idx in files[row.visit_id]:
                        best[name] = max(best.get(name, found), found)
            self._best[month] = {(visit_id, index) for _, visit_id, index in best.values()}
        return self._best[month]

    def _rows_in_order(self) -> Iterator[tuple[Any, Value]]:
        """Rows of visits that may go, least valuable first."""

        visit = schema.visit.c
        uncertain, rare = visit.state == State.UNCERTAIN.value, visit.rare.is_(True)
        common = sa.not_(sa.func.coalesce(rare, False))
        fresh = visit.started_at > self._now - timedelta(seconds=self._fresh_s)
        yield from self._rows(Value.ORDINARY, ~uncertain, common, ~fresh)
        yield from self._rows(Value.UNCERTAIN, uncertain, common)
        yield from self._rows(Value.ORDINARY, ~uncertain, common, fresh)
        yield from self._rows(Value.RARE, rare)

    def _rows(self, value: Value, *where: sa.ColumnElement[bool]) -> Iterator[tuple[Any, Value]]:
        visit = schema.visit.c
        unsent = sa.exists().where(schema.outbox.c.visit_id == visit.id)
        youngest = self._now - timedelta(seconds=YOUNGEST_S)
        firsts = sa.cast(visit.firsts, sa.Text)
        query = (
            sa.select(visit.id, visit.started_at)
            .where(*where, visit.ended_at.is_not(None), ~unsent, ~_reviewed())
            .where(sa.or_(visit.started_at <= youngest, visit.started_at > self._now + FALSE_DATE))
            .where(firsts.not_like('%"ever"%'), firsts.not_like('%"year"%'))
            .order_by(visit.started_at, visit.id)
            .limit(PAGE)
        )
        page = query
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(page).all()
            yield from ((row, value) for row in rows)
            if len(rows) < PAGE:
                return
            last = sa.tuple_(sa.literal(rows[-1].started_at, visit.started_at.type), rows[-1].id)
            page = query.where(sa.tuple_(visit.started_at, visit.id) > last)

    def _age_s(self, at: datetime) -> float:
        """The age of a visit; what lies in the future is the youngest that may go, for its clock was ahead."""
        return YOUNGEST_S if at > self._now + FALSE_DATE else (self._now - at).total_seconds()

    def _goes_before(self, item: Item, later_s: float) -> bool:
        """Whether nothing that is at most `later_s` old can go earlier."""
        return item.value.by_age and item.age_s >= max(later_s, self._fresh_s)


def _reviewed() -> sa.Exists:
    return sa.exists().where(schema.review.c.visit_id == schema.visit.c.id)


def _with_value() -> sa.Select[Any]:
    """Visits with what decides their value."""
    visit = schema.visit.c
    reviewed = _reviewed().label("reviewed")
    return sa.select(visit.id, visit.started_at, visit.state, visit.species, visit.firsts, visit.rare, reviewed)


def _value_of(row: Row[Any]) -> Value:
    """The value of a visit; a picture of it may have more."""
    if row.reviewed:
        return Value.REVIEWED
    if "ever" in row.firsts:
        return Value.FIRST_EVER
    if "year" in row.firsts:
        return Value.FIRST_OF_YEAR
    if row.rare:
        return Value.RARE
    return Value.UNCERTAIN if row.state == State.UNCERTAIN.value else Value.ORDINARY
