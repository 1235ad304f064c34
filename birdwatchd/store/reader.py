"""Read what was seen: the questions that commands, pages and exports ask of the database.

`Catalogue` only reads; `open_existing` creates nothing, so that a mistyped `--home` is an error and not an
empty answer. `Store` (store.py) is a Catalogue that also writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection, Engine, Row

from birdwatchd.errors import StoreError
from birdwatchd.records import Box, FloatArray, HalfArray, Phase, State, Visit
from birdwatchd.store import database, outbox, schema
from birdwatchd.store.alert_log import last_seen
from birdwatchd.store.embeddings import VisitEmbeddings, embeddings_of, models_embedded, versions_of
from birdwatchd.store.examples import VisitExample, reviews_mark, visit_examples
from birdwatchd.store.news import StoredVisit
from birdwatchd.store.outbox import OutboxRow
from birdwatchd.store.reviews import verdict_of
from birdwatchd.store.scans import Recording, found_in
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["Catalogue", "EffortSpan", "StoredMoment"]

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


@dataclass(frozen=True, slots=True)
class EffortSpan:
    """A camera was in one state from then to then (UTC)."""

    camera: str
    start: datetime
    end: datetime
    state: str


class Catalogue:
    """The database, for reading. Safe to use from several threads and next to other processes.

    Every method raises StoreBusy, StoreFull or StoreError as `birdwatchd.errors` says.
    """

    def __init__(self, home: Path, engine: Engine) -> None:
        self.home = home
        self.path = home / database.FILE_NAME
        self._engine = engine

    @classmethod
    def open_existing(cls, home: Path) -> Catalogue:
        """Open a home for reading; create and change nothing.

        Raises:
            StoreError: there is no database, or an older birdwatchd's.
            StoreTooNew: a newer birdwatchd's.
        """
        path = home / database.FILE_NAME
        if not path.is_file():
            raise StoreError(f"{path}: there is no database", "check `home`, or run birdwatchd there first")
        engine = database.open_database(path, read_only=True)
        with store_errors(path):
            database.require_version(engine, path)
        return Catalogue(home, engine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with store_errors(self.path), self._engine.begin() as connection:
            yield connection

    def visits(
        self,
        since: datetime | None = None,
        camera: str | None = None,
        species: str | None = None,
        limit: int | None = None,
        *,
        state: State | None = None,
        until: datetime | None = None,
    ) -> list[Visit]:
        """Visits that began at or after `since` (and before `until`), newest last; `limit` keeps the newest.

        `species` is a whole common or scientific name, in any case.
        """
        visit = schema.visit.c
        query = stored_visits().order_by(visit.started_at.desc(), visit.id.desc()).limit(limit)
        if since is not None:
            query = query.where(visit.started_at >= since)
        if until is not None:
            query = query.where(visit.started_at < until)
        if camera is not None:
            query = query.where(schema.camera.c.key == camera)
        if state is not None:
            query = query.where(visit.state == state.value)
        if species is not None:
            names = (sa.func.casefold(visit.common_name), sa.func.casefold(visit.scientific_name))
            query = query.where(sa.or_(*(name == species.casefold() for name in names)))
        with self._reading() as connection:
            return [to_stored_visit(row).visit for row in connection.execute(query)][::-1]

    def visit(self, visit_id: str) -> Visit | None:
        """One visit, or None."""
        stored = self.stored(visit_id)
        return stored.visit if stored else None

    def stored(self, visit_id: str) -> StoredVisit | None:
        """One visit with its phase and firsts, or None."""
        with self._reading() as connection:
            row = connection.execute(stored_visits().where(schema.visit.c.id == visit_id)).first()
        return to_stored_visit(row) if row else None

    def moments(self, visit_id: str) -> list[StoredMoment]:
        """The moments of a visit, in order."""
        moment, model = schema.moment, schema.model
        query = (
            sa.select(moment, model.c.name, model.c.version)
            .join(model)
            .where(moment.c.visit_id == visit_id)
            .order_by(moment.c.idx)
        )
        with self._reading() as connection:
            return [self._to_moment(row) for row in connection.execute(query)]

    def _to_moment(self, row: Row[Any]) -> StoredMoment:
        logits = None if row.logits is None else np.frombuffer(row.logits, "<f2").astype(np.float32)
        return StoredMoment(
            visit_id=row.visit_id,
            idx=row.idx,
            at=row.at,
            box=Box(*row.box),
            quality=row.quality,
            top=tuple((name, p) for name, p in row.top),
            embedding=np.frombuffer(row.embedding, "<f2").astype(np.float16),
            logits=logits,
            crop=self.home / row.crop if row.crop else None,
            width=row.width,
            height=row.height,
            model=model_text(row.name, row.version),
        )

    def models_embedded(self) -> list[str]:
        """The models that gave embeddings which are stored."""
        with self._reading() as connection:
            return [model_text(*one) for one in models_embedded(connection)]

    def versions(self, model: str) -> NDArray[np.int64]:
        """The version of each visit's embeddings by a model, by visit id; it changes whenever these do."""
        with self._reading() as connection:
            return versions_of(connection, *model_parts(model))

    def embeddings(self, versions: Sequence[int]) -> list[VisitEmbeddings]:
        """The embeddings with these versions, by visit id; those that changed or went meanwhile are left out."""
        with self._reading() as connection:
            return embeddings_of(connection, versions)

    def temperature(self, model: str) -> float:
        """By what a model's logits are to be divided; 1 for a model that was never calibrated."""
        name, version = model_parts(model)
        query = sa.select(schema.calibration.c.temperature).join(schema.model)
        with self._reading() as connection:
            mine = query.where(schema.model.c.name == name, schema.model.c.version == version)
            return float(connection.execute(mine).scalar() or 1.0)

    def reviews(self) -> list[tuple[str, str, str | None]]:
        """The newest review of each reviewed visit: visit id, verdict, and the species it ends up as."""
        review, visit = schema.review.c, schema.visit.c
        newest = sa.select(sa.func.max(review.id)).group_by(review.visit_id)
        species = sa.func.coalesce(visit.scientific_name, visit.common_name)
        query = sa.select(review.visit_id, review.verdict, species).join(schema.visit).where(review.id.in_(newest))
        with self._reading() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(review.visit_id))]

    def seen(self, model: str, limit: int) -> Iterator[VisitExample]:
        """Up to `limit` reviewed visits and as many confirmed ones that a model named, newest first."""
        name, version = model_parts(model)
        table = schema.model.c
        query = sa.select(table.id).where(table.name == name, table.version == version)
        with self._reading() as connection:
            number = connection.execute(query).scalar()
            if number is not None:
                yield from visit_examples(connection, number, limit)

    def reviews_mark(self) -> tuple[int, int]:
        """A pair that changes whenever a review is written or taken back, by any process."""
        with self._reading() as connection:
            return reviews_mark(connection)

    def to_relabel(self, since: datetime | None = None, camera: str | None = None) -> Iterator[Visit]:
        """Visits that are over and that no person had a say on, oldest first; read some at a time."""
        visit = schema.visit.c
        spoken = sa.exists().where(schema.review.c.visit_id == visit.id)
        query = stored_visits().where(visit.ended_at.is_not(None), ~spoken).order_by(visit.id)
        if since is not None:
            query = query.where(visit.started_at >= since)
        if camera is not None:
            query = query.where(schema.camera.c.key == camera)
        last = ""
        while True:
            with self._reading() as connection:
                rows = connection.execute(query.where(visit.id > last).limit(PAGE)).all()
            yield from (to_stored_visit(row).visit for row in rows)
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    def stored_visits(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[StoredVisit]:
        """Visits that began at or after `since` and before `until`, oldest first; read some at a time."""
        visit = schema.visit.c
        query = stored_visits().order_by(visit.started_at, visit.id).limit(PAGE)
        if since is not None:
            query = query.where(visit.started_at >= since)
        if until is not None:
            query = query.where(visit.started_at < until)
        page = query
        while True:
            with self._reading() as connection:
                rows = connection.execute(page).all()
            yield from map(to_stored_visit, rows)
            if len(rows) < PAGE:
                return
            place = sa.tuple_(visit.started_at, visit.id)
            page = query.where(place > sa.tuple_(sa.literal(rows[-1].started_at, visit.started_at.type), rows[-1].id))

    def last_seen(self, species: str, before: datetime, visit_id: str) -> datetime | None:
        """When the newest visit of a confirmed species other than `visit_id` began, not later than `before`."""
        with self._reading() as connection:
            return last_seen(connection, species, before, visit_id)

    def last_visit_at(self) -> datetime | None:
        """When the newest visit was last seen; None before the first."""
        with self._reading() as connection:
            row = connection.execute(
                sa.select(schema.visit.c.last_seen_at).order_by(schema.visit.c.started_at.desc()).limit(1)
            ).first()
        return row.last_seen_at if row else None

    def counts(
        self, since: datetime | None = None, until: datetime | None = None, camera: str | None = None
    ) -> dict[str, int]:
        """Confirmed visits per common name (scientific where there is none), most frequent first."""
        visit = schema.visit.c
        name = sa.func.coalesce(visit.common_name, visit.scientific_name, "")
        number = sa.func.count()
        query = (
            sa.select(name, number)
            .join(schema.camera)
            .where(visit.state == State.CONFIRMED.value)
            .group_by(name)
            .order_by(number.desc(), name)
        )
        if since is not None:
            query = query.where(visit.started_at >= since)
        if until is not None:
            query = query.where(visit.started_at < until)
        if camera is not None:
            query = query.where(schema.camera.c.key == camera)
        with self._reading() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}

    def scanned(self, recording: Recording) -> bool:
        """Whether exactly this recording was read to its end before; one that failed was not."""
        table = schema.scanned.c
        name, version = model_parts(recording.model)
        query = (
            sa.select(table.path)
            .join(schema.model)
            .where(table.path == recording.path, table.size == recording.size)
            .where(table.mtime_ns == recording.mtime_ns, table.settings == recording.settings)
            .where(schema.model.c.name == name, schema.model.c.version == version)
            .where(table.error.is_(None), table.growing.is_(False))
        )
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    def visits_of(self, recording: Recording) -> list[Visit]:
        """The visits found in exactly this recording, oldest first."""
        visit = schema.visit.c
        query = stored_visits().where(found_in(recording)).order_by(visit.started_at, visit.id)
        with self._reading() as connection:
            return [to_stored_visit(row).visit for row in connection.execute(query)]

    def efforts(self, since: datetime | None = None, camera: str | None = None) -> list[EffortSpan]:
        """When which camera was in which state, oldest first, without spans that ended before `since`."""
        table = schema.effort.c
        start, end = table["from"], table["to"]
        query = sa.select(schema.camera.c.key, start, end, table.state).join(schema.camera).order_by(start)
        if since is not None:
            query = query.where(end >= since)
        if camera is not None:
            query = query.where(schema.camera.c.key == camera)
        with self._reading() as connection:
            return [EffortSpan(*row) for row in connection.execute(query)]

    def pending(self, after_id: int, limit: int, channel: str | None = None) -> list[OutboxRow]:
        """Up to `limit` rows for a channel (None: the broker) with an id above `after_id`, oldest first; cheap."""
        with self._reading() as connection:
            return outbox.rows_after(connection, after_id, limit, channel)

    def outbox_depth(self, channel: str | None = None) -> int:
        """How many messages wait to be told to the broker, or by a channel."""
        query = sa.select(sa.func.count()).select_from(schema.outbox).where(outbox.for_channel(channel))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def outbox_oldest(self, now: datetime, channel: str | None = None) -> float | None:
        """How long the oldest message for the broker, or a channel, has been waiting, seconds; None if none waits."""
        rows = self.pending(0, 1, channel)
        return max(0.0, (now - rows[0].created_at).total_seconds()) if rows else None


def model_parts(model: str) -> tuple[str, str]:
    """Name and version of a model written `name` or `name@version`."""
    name, _, version = model.partition("@")
    return name, version


def model_text(name: str, version: str) -> str:
    """The inverse of `model_parts`."""
    return f"{name}@{version}" if version else name


def stored_visits() -> sa.Select[Any]:
    """All visits, with what `to_stored_visit` needs."""
    return (
        sa.select(schema.visit, schema.camera.c.key.label("camera"), schema.model.c.name, schema.model.c.version)
        .join(schema.camera, schema.visit.c.camera_id == schema.camera.c.id)
        .join(schema.model, schema.visit.c.model_id == schema.model.c.id)
    )


def to_stored_visit(row: Row[Any]) -> StoredVisit:
    """A row of `stored_visits` as records."""
    visit = Visit(
        visit_id=row.id,
        camera=row.camera,
        revision=row.revision,
        start=row.started_at,
        end=row.ended_at,
        verdict=verdict_of(row),
        moments=row.moments,
        count_max=row.count_max,
        box=Box(*row.box) if row.box else None,
        model=model_text(row.name, row.version),
        media=row.media,
        start_s=row.start_s,
        end_s=row.end_s,
        last_seen=row.last_seen_at,
        clip=row.clip,
        clip_cut=bool(row.clip_cut),
    )
    return StoredVisit(visit, Phase(row.phase), tuple(row.firsts))
