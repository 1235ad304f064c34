"""Read visits and their moments: the queries that commands, pages and exports make.

Every query is one transaction (long lists are read in pages of one each), and sees what was committed before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Row

from birdwatchd.errors import NoSuchVisit
from birdwatchd.records import MIN_QUALITY, Box, FloatArray, HalfArray, Phase, State, Visit, weight_of
from birdwatchd.store import schema
from birdwatchd.store.alert_log import last_seen
from birdwatchd.store.database import Database
from birdwatchd.store.embeddings import model_text
from birdwatchd.store.news import StoredVisit
from birdwatchd.store.reviews import verdict_of
from birdwatchd.store.timekeeping.doubt import is_dated

__all__ = ["StoredMoment", "VisitFilter", "Visits", "best_first", "rank_of", "stored_visits", "to_stored_visit"]

LAST = "last"  # the newest visit; `last:CAMERA` that of a camera
SHORTEST = 4  # characters of an id that may stand for it
PAGE = 500  # visits read at once where all are gone through


@dataclass(frozen=True, slots=True)
class StoredMoment:
    """One look at a bird, as it was kept.

    Attributes:
        top: (name, probability), best first.
        embedding: float16, shape (dim,).
        logits: float32, shape (classes,), or None where they were not kept.
        crop: absolute path of the JPEG; None where retention removed it.
        width, height: pixels of the crop.
        model: which model made the embedding; vectors of two models are never compared.
        bird_evidence: how much of a bird the model found, a logarithm of odds; None for moments of older versions.
    """

    visit_id: str
    idx: int
    at: datetime
    box: Box
    quality: float
    top: tuple[tuple[str, float], ...]
    embedding: HalfArray
    logits: FloatArray | None
    crop: Path | None
    width: int
    height: int
    model: str
    bird_evidence: float | None = None

    @property
    def sort_key(self) -> tuple[bool, float, float]:
        """Larger for a moment that shows more of a bird in a better picture."""
        return rank_of(self.bird_evidence, self.quality)


def rank_of(bird_evidence: float | None, quality: float) -> tuple[bool, float, float]:
    """Larger for a moment that shows more of a bird in a better picture: the order in which moments make a name."""
    if bird_evidence is None:
        return False, -float("inf"), quality
    return bird_evidence > 0, weight_of(bird_evidence, quality), quality


def best_first() -> tuple[sa.ColumnElement[Any], ...]:
    """The order of `rank_of` for a query of the table `moment`."""
    moment = schema.moment.c
    weight = moment.bird_evidence + sa.func.ln(sa.func.max(moment.quality, MIN_QUALITY))  # as `weight_of`
    shows_bird = sa.func.coalesce(moment.bird_evidence, 0.0) > 0
    return shows_bird.desc(), weight.desc().nulls_last(), moment.quality.desc(), moment.idx


@dataclass(frozen=True, slots=True)
class VisitFilter:
    """Which visits are wanted; all of them by default.

    Attributes:
        since, until: they began at or after the one and before the other.
        species: whole common or scientific name, in any case.
        states: any of these; any at all where there are none.
        genera: any of these genera; `group` is the scientific name of a family that counts as well.
        unreviewed: nobody has reviewed them.
    """

    since: datetime | None = None
    until: datetime | None = None
    camera: str | None = None
    species: str | None = None
    states: Collection[State] = ()
    genera: Collection[str] = ()
    group: str | None = None
    unreviewed: bool = False

    def select(self) -> sa.Select[Any]:
        """The query of the visits, with what `to_stored_visit` needs."""
        visit = schema.visit.c
        query = _began(stored_visits(), self.since, self.until)
        if self.camera is not None:
            query = query.where(schema.camera.c.key == self.camera)
        if self.species is not None:
            names = (sa.func.casefold(visit.common_name), sa.func.casefold(visit.scientific_name))
            query = query.where(sa.or_(*(name == self.species.casefold() for name in names)))
        if self.states:
            query = query.where(visit.state.in_([state.value for state in self.states]))
        if self.genera or self.group:
            name = visit.scientific_name
            genus = sa.func.substr(name, 1, sa.func.instr(name + " ", " ") - 1)
            wanted = [genus.in_(self.genera), *([name == self.group] if self.group else [])]
            query = query.where(sa.or_(*wanted))
        if self.unreviewed:
            query = query.where(~sa.exists().where(schema.review.c.visit_id == visit.id))
        return query


class Visits:
    """The visits that are stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self,
        since: datetime | None = None,
        camera: str | None = None,
        species: str | None = None,
        limit: int | None = None,
    ) -> list[Visit]:
        """Visits that began at or after `since`, newest last; `limit` keeps the newest.

        `species` is a whole common or scientific name, in any case.
        """
        return self.newest(VisitFilter(since=since, camera=camera, species=species), limit)

    def newest(self, wanted: VisitFilter, limit: int | None = None) -> list[Visit]:
        """The newest of the visits that are wanted, at most `limit`, newest last."""
        visit = schema.visit.c
        query = wanted.select().order_by(visit.started_at.desc(), visit.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [to_stored_visit(row).visit for row in connection.execute(query)][::-1]

    def each(self, wanted: VisitFilter) -> Iterator[Visit]:
        """All visits that are wanted, oldest first; read some at a time."""
        return (stored.visit for stored in self._pages(wanted.select()))

    def named(self, text: str) -> Visit:
        """The visit with this id, or the only one whose id begins so; `last` or `last:CAMERA` for the newest.

        Raises:
            NoSuchVisit: there is none, or more than one.
        """
        visit = schema.visit.c
        word, _, camera = text.partition(":")
        if word.casefold() == LAST:
            newest = self.newest(VisitFilter(camera=camera or None), 1)
            if not newest:
                where = f" of camera {camera}" if camera else ""
                raise NoSuchVisit(f"there is no visit{where} yet", "see `birdwatchd visits`")
            return newest[0]
        exact = self.get(text)
        if exact is not None:
            return exact
        begins = visit.id.startswith(text.upper(), autoescape=True)
        with self._database.reading() as connection:
            found = connection.execute(stored_visits().where(begins).order_by(visit.id).limit(4)).all()
        if len(text) < SHORTEST or not found:
            raise NoSuchVisit(f"there is no visit {text}", "see `birdwatchd visits`; the beginning of an id is enough")
        if len(found) > 1:
            some = ", ".join(row.id for row in found[:3]) + (", …" if len(found) > 3 else "")
            raise NoSuchVisit(f"more than one visit begins with {text}: {some}", "write more of the id")
        return to_stored_visit(found[0]).visit

    def get(self, visit_id: str) -> Visit | None:
        """One visit, or None."""
        with self._database.reading() as connection:
            row = connection.execute(stored_visits().where(schema.visit.c.id == visit_id)).first()
            return to_stored_visit(row).visit if row else None

    def stored(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[StoredVisit]:
        """Visits that began at or after `since` and before `until`, oldest first; read some at a time."""
        return self._pages(VisitFilter(since=since, until=until).select())

    def _pages(self, query: sa.Select[Any]) -> Iterator[StoredVisit]:
        visit = schema.visit.c
        query = query.order_by(visit.started_at, visit.id).limit(PAGE)
        page = query
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(page).all()
                found = [to_stored_visit(row) for row in rows]
            yield from found
            if len(rows) < PAGE:
                return
            place = sa.tuple_(visit.started_at, visit.id)
            page = query.where(place > sa.tuple_(sa.literal(rows[-1].started_at, visit.started_at.type), rows[-1].id))

    def to_relabel(self, since: datetime | None = None, camera: str | None = None) -> Iterator[Visit]:
        """Visits that are over and have no review, oldest first; read some at a time."""
        visit = schema.visit.c
        reviewed = sa.exists().where(schema.review.c.visit_id == visit.id)
        query = _began(stored_visits(), since).where(visit.ended_at.is_not(None), ~reviewed).order_by(visit.id)
        if camera is not None:
            query = query.where(schema.camera.c.key == camera)
        last = ""
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(query.where(visit.id > last).limit(PAGE)).all()
                found = [to_stored_visit(row).visit for row in rows]
            yield from found
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    def moments(self, visit_id: str) -> list[StoredMoment]:
        """The moments of a visit, in order."""
        moment, model = schema.moment, schema.model
        query = (
            sa.select(moment, model.c.name, model.c.version)
            .join(model)
            .where(moment.c.visit_id == visit_id)
            .order_by(moment.c.idx)
        )
        with self._database.reading() as connection:
            return [_to_moment(row, self._database.home) for row in connection.execute(query)]

    def reviews(self) -> list[tuple[str, str, str | None]]:
        """The newest review of each reviewed visit: visit id, verdict, and the species it ends up as."""
        review, visit = schema.review.c, schema.visit.c
        newest = sa.select(sa.func.max(review.id)).group_by(review.visit_id)
        species = sa.func.coalesce(visit.scientific_name, visit.common_name)
        query = sa.select(review.visit_id, review.verdict, species).join(schema.visit).where(review.id.in_(newest))
        with self._database.reading() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(review.visit_id))]

    def review_times(self) -> dict[str, tuple[datetime, ...]]:
        """When each reviewed visit was reviewed, the newest review last."""
        review, found = schema.review.c, dict[str, tuple[datetime, ...]]()
        with self._database.reading() as connection:
            for visit_id, at in connection.execute(sa.select(review.visit_id, review.at).order_by(review.id)):
                found[visit_id] = (*found.get(visit_id, ()), at)
        return found

    def reviewed_at(self, at: datetime) -> list[str]:
        """The visits of which something was said at this very instant, as a job says it of many."""
        review = schema.review.c
        with self._database.reading() as connection:
            return list(connection.execute(sa.select(review.visit_id).where(review.at == at)).scalars())

    def names(self) -> list[tuple[str, str | None]]:
        """Common and scientific name of all that visits are called, of those without a common name none."""
        visit = schema.visit.c
        query = sa.select(visit.common_name, visit.scientific_name).where(visit.common_name.is_not(None)).distinct()
        with self._database.reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(query.order_by(visit.common_name))]

    def last_seen(self, species: str, before: datetime, visit_id: str) -> datetime | None:
        """When the newest visit of a confirmed species other than `visit_id` began, not later than `before`."""
        with self._database.reading() as connection:
            return last_seen(connection, species, before, visit_id)

    def newest_bird(self, camera: str) -> Visit | None:
        """The newest visit of a camera that was not rejected, or None."""
        visit = schema.visit.c
        query = stored_visits().where(schema.camera.c.key == camera, visit.state != State.REJECTED.value)
        query = query.where(is_dated(visit.clock))
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(visit.started_at.desc(), visit.id.desc()).limit(1)).first()
        return to_stored_visit(row).visit if row else None

    def last_published(self, camera: str) -> str | None:
        """The newest visit of a camera that is over, was published and still counts as a bird; its id."""
        visit = schema.visit.c
        query = (
            sa.select(visit.id)
            .join(schema.camera)
            .where(schema.camera.c.key == camera, visit.ended_at.is_not(None), visit.told_revision.is_not(None))
            .where(visit.state != State.REJECTED.value, is_dated(visit.clock))
            .order_by(visit.started_at.desc(), visit.id.desc())
        )
        with self._database.reading() as connection:
            return connection.execute(query.limit(1)).scalar()


def stored_visits() -> sa.Select[Any]:
    """All visits, with what `to_stored_visit` needs."""
    return (
        sa.select(schema.visit, schema.camera.c.key.label("camera"), schema.model.c.name, schema.model.c.version)
        .join(schema.camera, schema.visit.c.camera_id == schema.camera.c.id)
        .join(schema.model, schema.visit.c.model_id == schema.model.c.id)
    )


def to_stored_visit(row: Row[Any]) -> StoredVisit:
    """A row of `stored_visits` as records.

    Raises:
        UnreadableValue: a value is not what its column holds; `store_errors` makes StoreDamaged of it.
    """
    try:
        return _to_stored_visit(row)
    except (TypeError, ValueError) as error:
        raise schema.UnreadableValue(f"visit {row.id!r}: {error}") from error


def _to_stored_visit(row: Row[Any]) -> StoredVisit:
    visit = Visit(
        visit_id=row.id,
        camera=row.camera,
        revision=row.revision,
        start=row.started_at,
        end=row.ended_at,
        verdict=verdict_of(row),
        moments=int(row.moments),
        count_max=int(row.count_max),
        box=Box(*map(float, row.box)) if row.box else None,
        model=model_text(row.name, row.version),
        media=row.media,
        start_s=row.start_s,
        end_s=row.end_s,
        last_seen=row.last_seen_at,
        clip=row.clip,
        clip_cut=bool(row.clip_cut),
        clock=row.clock,
    )
    return StoredVisit(visit, Phase(row.phase), tuple(row.firsts))


def _began(query: sa.Select[Any], since: datetime | None, until: datetime | None = None) -> sa.Select[Any]:
    """Only visits that began at or after `since` and before `until`."""
    if since is not None:
        query = query.where(schema.visit.c.started_at >= since)
    if until is not None:
        query = query.where(schema.visit.c.started_at < until)
    return query


def _to_moment(row: Row[Any], home: Path) -> StoredMoment:
    try:
        return _read_moment(row, home)
    except (TypeError, ValueError) as error:
        raise schema.UnreadableValue(f"moment {row.idx!r} of visit {row.visit_id!r}: {error}") from error


def _read_moment(row: Row[Any], home: Path) -> StoredMoment:
    logits = None if row.logits is None else np.frombuffer(row.logits, "<f2").astype(np.float32)
    return StoredMoment(
        visit_id=row.visit_id,
        idx=row.idx,
        at=row.at,
        box=Box(*map(float, row.box)),
        quality=float(row.quality),
        top=tuple((str(name), float(p)) for name, p in row.top),
        embedding=np.frombuffer(row.embedding, "<f2").astype(np.float16),
        logits=logits,
        crop=home / row.crop if row.crop else None,
        width=row.width,
        height=row.height,
        model=model_text(row.name, row.version),
        bird_evidence=row.bird_evidence,
    )
