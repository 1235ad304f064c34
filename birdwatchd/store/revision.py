"""Write one revision of a visit inside a transaction: its rows, its firsts, and the messages about it.

All of it is committed together by `Writer` (writer.py), so that kill -9 can neither lose nor double a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from birdwatchd.records import Box, FloatArray, Moment, Phase, Verdict, Visit
from birdwatchd.store import alert_log, outbox, schema
from birdwatchd.store.camera_state import best_crop, camera_id, day_at, is_present, newest_confirmed
from birdwatchd.store.embeddings import half_bytes, model_id
from birdwatchd.store.firsts import gaining, losing
from birdwatchd.store.media import Media
from birdwatchd.store.news import (
    Compose,
    News,
    NewsContext,
    StoredVisit,
    decide_firsts,
    decide_phase,
    is_news,
    name_before,
    news_of,
)
from birdwatchd.store.reader import rank_of, stored_visits, to_stored_visit
from birdwatchd.store.reviews import has_review, verdict_of
from birdwatchd.store.timekeeping.doubt import is_dated

__all__ = [
    "KeptMoment",
    "Known",
    "MomentRow",
    "Recorded",
    "Revision",
    "Setup",
    "add_clip",
    "forget_moments",
    "kept_moments",
    "known",
    "prediction_values",
    "replace_predictions",
]


@dataclass(frozen=True, slots=True)
class MomentRow:
    """A moment with what the network said of it, ready to be kept.

    Attributes:
        embedding: shape (dim,), any float type; kept as little-endian float16.
        top: (name, probability), best first.
        logits: shape (classes,), or None if they are not to be kept; kept as float16.
        bird_evidence: how much of a bird the network found, a logarithm of odds; None where that is not known.
    """

    moment: Moment
    embedding: FloatArray
    top: tuple[tuple[str, float], ...]
    logits: FloatArray | None = None
    bird_evidence: float | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a revision.

    Attributes:
        recorded: False if this or a newer revision was there already; then nothing was changed.
        phase, firsts: of the visit as it stands now.
        queued: messages were put into the outbox.
        only_clip: the visit was over before, and got its clip.
    """

    recorded: bool
    phase: Phase
    firsts: tuple[str, ...]
    queued: bool = False
    only_clip: bool = False


@dataclass(frozen=True, slots=True)
class Setup:
    """What all revisions of one writer share.

    Attributes:
        zone: whose midnight ends a day.
        compose: writes the messages about a visit; None where nobody is to get any.
        decide: says which alert rules fire; None where there are none.
    """

    media: Media
    zone: ZoneInfo
    compose: Compose | None = None
    decide: alert_log.Decide | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of a visit so far; `reviewed` is its verdict if it has a review."""

    camera: str
    revision: int
    phase: Phase
    firsts: tuple[str, ...]
    ended: bool
    clip: str | None = None
    reviewed: Verdict | None = None


@dataclass(frozen=True, slots=True)
class KeptMoment:
    """A moment that is stored; `crop` is the path of its picture, relative to home, while there is one.

    Attributes:
        rank: larger for what shows more of a bird (`rank_of`).
    """

    index: int
    rank: tuple[bool, float, float]
    crop: str | None


def kept_moments(connection: Connection, visit_id: str) -> dict[int, KeptMoment]:
    """The stored moments of a visit by index."""
    moment = schema.moment.c
    query = sa.select(moment.idx, moment.bird_evidence, moment.quality, moment.crop)
    rows = connection.execute(query.where(moment.visit_id == visit_id))
    return {row.idx: KeptMoment(row.idx, rank_of(row.bird_evidence, row.quality), row.crop) for row in rows}


def forget_moments(connection: Connection, visit_id: str, moments: Sequence[KeptMoment]) -> None:
    """Delete the rows of some moments of a visit."""
    moment = schema.moment
    mine = (moment.c.visit_id == visit_id, moment.c.idx.in_([one.index for one in moments]))
    connection.execute(sa.delete(moment).where(*mine))


def known(connection: Connection, visit_id: str) -> Known | None:
    """What is stored of a visit, or None."""
    visit, camera = schema.visit, schema.camera
    query = sa.select(visit, camera.c.key.label("camera")).join_from(visit, camera, visit.c.camera_id == camera.c.id)
    row = connection.execute(query.where(visit.c.id == visit_id)).first()
    if row is None:
        return None
    reviewed = verdict_of(row) if has_review(connection, visit_id) else None
    phase, firsts, ended = Phase(row.phase), tuple(row.firsts), row.ended_at is not None
    return Known(row.camera, row.revision, phase, firsts, ended, row.clip, reviewed)


def add_clip(connection: Connection, visit: Visit, now: datetime) -> None:
    """Give a visit that is over its clip, and leave everything else as it is; a review may have come before it."""
    table = schema.visit
    newer = sa.func.max(table.c.revision, visit.revision)
    values = {"clip": visit.clip, "clip_cut": visit.clip_cut, "revision": newer, "updated_at": now}
    connection.execute(sa.update(table).where(table.c.id == visit.visit_id).values(values))


def replace_predictions(connection: Connection, visit: Visit, moments: Sequence[MomentRow]) -> None:
    """Write what `visit.model` says of moments that are stored already, in the place of what another model said."""
    table = schema.moment
    number = model_id(connection, visit.model, len(moments[0].embedding))
    for row in moments:
        mine = (table.c.visit_id == visit.visit_id, table.c.idx == row.moment.index)
        connection.execute(sa.update(table).where(*mine).values(prediction_values(row) | {"model_id": number}))


def prediction_values(row: MomentRow) -> dict[str, Any]:
    """What a network said of a moment, as columns."""
    return {
        "top": [[name, float(p)] for name, p in row.top],
        "logits": None if row.logits is None else half_bytes(row.logits),
        "embedding": half_bytes(row.embedding),
        "dim": len(row.embedding),
        "bird_evidence": row.bird_evidence,
    }


class Revision:
    """One visit revision being written. Lives as long as its transaction."""

    def __init__(
        self, connection: Connection, visit: Visit, now: datetime, setup: Setup, *, relabelled: bool = False
    ) -> None:
        """
        Args:
            relabelled: the visit was over before, and only its verdict changes.
        """
        self._connection, self._visit, self._now, self._setup = connection, visit, now, setup
        self._relabelled = relabelled
        self._camera_id = self._model_id = 0
        self._lost_firsts: tuple[str, tuple[str, ...]] | None = None  # the species it was, and its firsts then
        self._gained_firsts: tuple[str, tuple[str, ...]] | None = None  # the species it became, and its firsts now

    def write(self, moments: Sequence[MomentRow] = (), crops: Mapping[int, str | None] | None = None) -> Recorded:
        """Write everything that the revision changes, and the messages about it.

        Args:
            crops: paths of the crops that were just written, by the index of their moment, None where there was no
                room; other moments of `moments` are stored already, or not worth keeping.
        """
        self._find_rows(moments)
        last = self._last()
        stored, last_news = self._decide()
        self._write_visit(stored, moments)
        self._write_moments(moments, crops or {})
        queued = self._publish(stored, last_news, last)
        queued = self._alert(stored) or queued
        self._reassign_firsts()
        return Recorded(True, stored.phase, stored.firsts, queued)

    def _find_rows(self, moments: Sequence[MomentRow]) -> None:
        """Find or make the rows that the visit points to."""
        self._camera_id = camera_id(self._connection, self._visit.camera, self._visit.start)
        dim = len(moments[0].embedding) if moments else None
        self._model_id = model_id(self._connection, self._visit.model, dim)

    def _decide(self) -> tuple[StoredVisit, News | None]:
        """The visit with phase and firsts of this revision, and what was last published of it."""
        visit = schema.visit.c
        query = sa.select(visit.species, visit.firsts, visit.told_as).where(visit.id == self._visit.visit_id)
        before = self._connection.execute(query).first()
        last_news = News(**before.told_as) if before and before.told_as else None
        species = self._visit.verdict.species
        same = before is not None and before.species == species
        if before is not None and before.species and before.firsts and not same:
            self._lost_firsts = before.species, tuple(before.firsts)
        if species is None:
            firsts: tuple[str, ...] = ()
        elif before is not None and same:
            firsts = tuple(before.firsts)
        else:
            firsts = decide_firsts(self._visit.start, self._neighbours(species), self._setup.zone)
            self._gained_firsts = (species, firsts) if self._relabelled else None
        return StoredVisit(self._visit, decide_phase(self._visit, last_news), firsts), last_news

    def _neighbours(self, species: str) -> list[datetime]:
        visit, start = schema.visit.c, self._visit.start
        others = sa.select(visit.started_at).where(visit.species == species, visit.id != self._visit.visit_id)
        others = others.where(is_dated(visit.clock))
        before = others.where(visit.started_at <= start).order_by(visit.started_at.desc()).limit(1)
        after = others.where(visit.started_at > start).order_by(visit.started_at).limit(1)
        wanted = (before,) if self._relabelled else (before, after)  # relabelled, it precedes later ones
        found = (self._connection.execute(query).scalar() for query in wanted)
        return [at for at in found if at is not None]

    def _last(self) -> StoredVisit | None:
        """The newest confirmed visit of this camera, as the transaction sees it."""
        return newest_confirmed(self._connection, schema.visit.c.camera_id == self._camera_id)

    def _write_visit(self, stored: StoredVisit, moments: Sequence[MomentRow] = ()) -> None:
        """Insert the visit or bring its row up to this revision."""
        values = self._values(stored)
        seen = (self._visit.last_seen, self._visit.end, *(row.moment.at for row in moments))
        values["last_seen_at"] = max((at for at in seen if at is not None), default=self._visit.start)
        insert = sqlite.insert(schema.visit).values(values)
        changes: dict[str, Any] = {name: insert.excluded[name] for name in values if name != "id"}
        changes["last_seen_at"] = sa.func.max(schema.visit.c.last_seen_at, insert.excluded.last_seen_at)
        if self._visit.clip is None:  # this revision knows of none; the one that was kept stays
            del changes["clip"], changes["clip_cut"]
        self._connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=changes))

    def _values(self, stored: StoredVisit) -> dict[str, Any]:
        visit, verdict = self._visit, self._visit.verdict
        return {
            "id": visit.visit_id,
            "camera_id": self._camera_id,
            "started_at": visit.start,
            "ended_at": visit.end,
            "state": verdict.state.value,
            "rank": verdict.rank.value,
            "common_name": verdict.common_name,
            "scientific_name": verdict.scientific_name,
            "species": verdict.species,
            "score": float(verdict.score),
            "top": [[name, float(p)] for name, p in verdict.top],
            "reasons": list(verdict.reasons),
            "raw_score": verdict.raw_score,
            "raw_top": [[name, float(p)] for name, p in verdict.raw_top] or None,
            "rare": verdict.rare,
            "count_max": visit.count_max,
            "moments": visit.moments,
            "box": _numbers(visit.box) if visit.box else None,
            "model_id": self._model_id,
            "revision": visit.revision,
            "phase": stored.phase.value,
            "firsts": list(stored.firsts),
            "media": visit.media,
            "start_s": visit.start_s,
            "end_s": visit.end_s,
            "updated_at": self._now,
            "clip": visit.clip,
            "clip_cut": visit.clip_cut if visit.clip else None,
            "clock": visit.clock,
        }

    def _write_moments(self, moments: Sequence[MomentRow], crops: Mapping[int, str | None]) -> None:
        """Insert the moments whose crops were just written; the others are stored already, or not to be."""
        for row in moments:
            moment = row.moment
            if moment.index in crops:
                values = {
                    "visit_id": self._visit.visit_id,
                    "idx": moment.index,
                    "at": moment.at,
                    "box": _numbers(moment.box),
                    "quality": float(moment.quality),
                    "model_id": self._model_id,
                    "crop": crops[moment.index],
                    "width": moment.crop.width,
                    "height": moment.crop.height,
                } | prediction_values(row)
                self._connection.execute(sqlite.insert(schema.moment).values(values).on_conflict_do_nothing())

    def _publish(
        self, stored: StoredVisit, last_news: News | None, before: StoredVisit | None, *, anyway: bool = False
    ) -> bool:
        """Put the messages of this revision into the outbox, if it is news (or `anyway`); whether there are any.

        Args:
            last_news: what was last published of this visit.
            before: the camera's newest confirmed visit before this revision.
        """
        news, setup = news_of(self._visit, stored.phase), self._setup
        if setup.compose is None or not (anyway or is_news(news, last_news)):
            return False
        last = self._last()
        mine = self._visit.visit_id
        changed = any(one is not None and one.visit.visit_id == mine for one in (before, last))
        image = self._best_crop(last.visit.visit_id) if changed and last else None
        day, present = self._now.astimezone(setup.zone).date(), is_present(self._connection, self._visit.camera)
        of_today = self._visit.start.astimezone(setup.zone).date() == day
        today = day_at(self._connection, day, setup.zone, self._visit.camera) if of_today else None
        was = name_before(news, last_news)
        messages = setup.compose(NewsContext(stored, last, changed, image, today, present, was))
        if not messages:
            return False
        outbox.add(self._connection, messages, self._now, mine, self._visit.revision)
        values = {"told_revision": self._visit.revision, "told_as": asdict(news)}
        visit = schema.visit
        self._connection.execute(sa.update(visit).where(visit.c.id == mine).values(values))
        return True

    def _alert(self, stored: StoredVisit) -> bool:
        """Let alert rules decide on this revision, and keep what they say; whether there is any message.

        A recording that was scanned alerts nobody, whatever becomes of its visits.
        """
        if self._setup.decide is None or self._visit.media is not None:
            return False
        mine = self._visit.visit_id
        fired = alert_log.fired_for(self._connection, mine)
        history = alert_log.History(self._connection, mine)
        context = alert_log.AlertContext(stored, self._now, history, fired, lambda: self._best_crop(mine))
        return alert_log.write(self._connection, self._visit, self._setup.decide(context), self._now)

    def _best_crop(self, visit_id: str) -> bytes | None:
        return self._setup.media.picture(best_crop(self._connection, visit_id))

    def _reassign_firsts(self) -> None:
        """Update the firsts of other visits, now that this one has another species; publish those that are over."""
        changes: dict[str, tuple[str, ...]] = {}
        if self._lost_firsts is not None:
            changes |= gaining(self._connection, *self._lost_firsts, self._visit, self._setup.zone)
        if self._gained_firsts is not None:
            changes |= losing(self._connection, *self._gained_firsts, self._visit, self._setup.zone)
        for visit_id, names in changes.items():
            row = self._connection.execute(stored_visits().where(schema.visit.c.id == visit_id)).one()
            stored = replace(to_stored_visit(row), firsts=names)
            if stored.visit.end is None:  # its camera counts its revisions; the next one says it
                mine = sa.update(schema.visit).where(schema.visit.c.id == visit_id)
                self._connection.execute(mine.values(firsts=list(names)))
                continue
            visit = replace(stored.visit, revision=stored.visit.revision + 1)
            Revision(self._connection, visit, self._now, self._setup)._rewrite(stored)

    def _rewrite(self, stored: StoredVisit) -> None:
        """Write a visit that is over with other firsts."""
        self._find_rows(())
        _, last_news = self._decide()
        phase = stored.phase if last_news is None else Phase.CORRECTED
        stored = StoredVisit(self._visit, phase, stored.firsts)
        self._write_visit(stored)
        if last_news is not None:
            self._publish(stored, last_news, self._last(), anyway=True)
        self._alert(stored)


def _numbers(box: Box) -> list[float]:
    return [float(box.x), float(box.y), float(box.w), float(box.h)]
