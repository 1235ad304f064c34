"""Write what was seen: one transaction per visit revision, with its moments and what is told of it.

After kill -9 the database says exactly what was seen and what of it was told: crops are files before their
rows exist, and the messages are rows of the same transaction as the visit. One thread writes visits, another
deletes outbox rows; a lock in the process and SQLite's own between processes keep them apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from birdwatchd.errors import StoreError, StoreUnavailable
from birdwatchd.records import Message, Phase, Verdict, Visit
from birdwatchd.store import database, outbox, reviews, revision, schema
from birdwatchd.store.alert_log import Decide
from birdwatchd.store.media import home_lock
from birdwatchd.store.news import NewsContext, StoredVisit
from birdwatchd.store.reader import stored_visits, to_stored_visit
from birdwatchd.store.retained import EFFORT_GAP, Ledger
from birdwatchd.store.reviews import Review
from birdwatchd.store.revision import MomentRow
from birdwatchd.store.scans import Recording, forget
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["Compose", "MomentRow", "Recorded", "Store"]

log = logging.getLogger(__name__)

Compose = Callable[[NewsContext], Sequence[Message]]

EFFORT_STEP = timedelta(seconds=30)  # how much effort a kill -9 may forget, for 30 times fewer writes


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a revision.

    Attributes:
        recorded: False if this or a newer revision was there already; then nothing was changed.
        phase, firsts: of the visit as it stands now.
        told: messages were put into the outbox.
        only_clip: the visit was over before, and got its clip.
    """

    recorded: bool
    phase: Phase
    firsts: tuple[str, ...]
    told: bool = False
    only_clip: bool = False


class Store(Ledger):
    """The database, for reading and writing. Open it with `Store.open`, end it with `close`."""

    def __init__(self, home: Path, engine: Engine, zone: ZoneInfo, latitude: float | None) -> None:
        super().__init__(home, engine, zone)
        self.latitude = latitude
        self._effort: dict[str, tuple[str, datetime]] = {}

    @classmethod
    def open(cls, home: Path, *, zone: ZoneInfo, latitude: float | None = None) -> Store:
        """Open a home, creating or upgrading what is needed.

        Args:
            zone: whose midnight ends a day, for "first today".
            latitude: of the station; only tells which hemisphere's season it is.

        Raises:
            StoreTooNew: a newer birdwatchd wrote it.
            StoreBusy, StoreFull, StoreError: it cannot be opened now, or at all.
        """
        path = home / database.FILE_NAME
        with store_errors(path):
            home.mkdir(parents=True, exist_ok=True)
            with home_lock(home, shared=False):
                engine = database.open_database(path, read_only=False)
                database.prepare(engine, path)
        return cls(home, engine, zone, latitude)

    def close(self) -> None:
        """Move everything into the one database file and let go of it.

        Where that cannot be done now (full disk, busy), it stays in the write-ahead log; nothing is lost.
        """
        with self._lock:
            try:
                with store_errors(self.path):
                    database.checkpoint(self._engine)
            except StoreUnavailable as error:
                log.warning("the write-ahead log is left as it is: %s", error.message)
            finally:
                self._engine.dispose()

    def record(
        self,
        visit: Visit,
        moments: Sequence[MomentRow],
        compose: Compose | None,
        now: datetime,
        decide: Decide | None = None,
    ) -> Recorded:
        """Keep a revision of a visit, and put what is news of it into the outbox, all together or not at all.

        Idempotent: a revision that is not newer than the stored one changes nothing. Crops are written and
            synced first; if the transaction fails they are deleted again. A clip is named only if it lies where it
            must; one that comes for a visit that is over changes nothing else of it, whatever this revision says.
            `compose` (only for news) and `decide` are called inside the transaction and must not wait for anything.

        Args:
            moments: those that no earlier revision carried; known ones are ignored.
            compose: writes the messages; None where nobody is to be told.
            decide: says which alert rules fire; None where there are none.

        Raises:
            StoreBusy, StoreFull, StoreError: nothing was kept; the caller may try again.
        """
        with self._lock, store_errors(self.path), home_lock(self.home, shared=True), ExitStack() as undo:
            with self._engine.begin() as connection:
                known = revision.known(connection, visit.visit_id)
            afterwards = known is not None and known.ended and visit.clip is not None
            new_clip = afterwards and known is not None and known.clip != visit.clip
            if known and known.revision >= visit.revision and not new_clip:  # a review counts revisions on as well
                return Recorded(False, known.phase, known.firsts)
            visit = self._with_checked_clip(visit)
            if known and afterwards:
                if visit.clip is not None:
                    with self._writer.begin() as connection:
                        revision.add_clip(connection, visit, now)
                return Recorded(visit.clip is not None, known.phase, known.firsts, only_clip=True)
            if known and known.reviewed is not None:  # a person's word stands
                visit = replace(visit, verdict=known.reviewed)
            crops = self._write_crops(visit, moments, known.indices if known else frozenset(), undo)
            with self._writer.begin() as connection:
                work = revision.Revision(connection, visit, now, self.zone, self._media)
                recorded = self._record(work, moments, crops, compose, decide)
            undo.pop_all()
            return recorded

    def _with_checked_clip(self, visit: Visit) -> Visit:
        if visit.clip is None or self._media.has_clip(visit.clip):
            return visit
        log.warning("the clip of visit %s is not where it should be, and is left out", visit.visit_id)
        return replace(visit, clip=None, clip_cut=False)

    def _write_crops(
        self, visit: Visit, moments: Sequence[MomentRow], stored: Collection[int], undo: ExitStack
    ) -> dict[int, str]:
        crops: dict[int, str] = {}
        for row in moments:
            if row.moment.index not in stored and row.moment.index not in crops:
                name = self._media.path_of(visit, row.moment.index)
                undo.callback(self._media.remove, name)
                self._media.write(name, row.moment.crop.jpeg)
                crops[row.moment.index] = name
        return crops

    @staticmethod
    def _record(
        work: revision.Revision,
        moments: Sequence[MomentRow],
        crops: dict[int, str],
        compose: Compose | None,
        decide: Decide | None,
    ) -> Recorded:
        work.place(moments)
        before = work.last()
        stored, last_news = work.decide()
        work.write_visit(stored, moments)
        work.write_moments(moments, crops)
        news = compose is not None and work.tell(stored, last_news, before, compose)
        news = (decide is not None and work.alert(stored, decide)) or news
        work.reassign_firsts(compose, decide)
        return Recorded(True, stored.phase, stored.firsts, news)

    def review(
        self, visit_id: str, review: Review, compose: Compose | None, now: datetime, decide: Decide | None = None
    ) -> Visit:
        """Replace a visit's verdict by what a person said; the old one is kept. Returns the visit as it is then.

        Raises:
            StoreError: there is no such visit, the bird is still there, or there is nothing to confirm.
        """
        with self._writing() as connection:
            stored, row = self._over(connection, visit_id)
            verdict = reviews.reviewed(stored.visit, review)
            reviews.archive_verdict(connection, stored.visit, row.model_id, "review", now)
            said = {"verdict": review.verdict.value, "species": review.species, "by": review.by}
            connection.execute(sa.insert(schema.review).values(visit_id=visit_id, at=now, **said))
            return self._revise(connection, stored.visit, verdict, compose, now, decide)

    def undo_review(self, visit_id: str, compose: Compose | None, now: datetime, decide: Decide | None = None) -> Visit:
        """Undo the newest review of a visit: its verdict is again what it was before. Returns the visit as it is then.

        Raises:
            StoreError: there is no such visit, or no review of it.
        """
        with self._writing() as connection:
            stored, _ = self._over(connection, visit_id)
            before = reviews.undo_review(connection, visit_id)
            return self._revise(connection, stored.visit, before, compose, now, decide)

    def relabel(
        self,
        visit_id: str,
        verdict: Verdict,
        model: str,
        moments: Sequence[MomentRow],
        compose: Compose | None,
        now: datetime,
        decide: Decide | None = None,
    ) -> Visit:
        """Replace a visit's verdict by another of the network; the old one is kept. Returns the visit as it is then.

        Args:
            model: that gave the verdict, name@version.
            moments: what this model says of moments that another had been asked about; their pictures stay.

        Raises:
            StoreError: there is no such visit, it is not over, or a person had a say on it.
        """
        with self._writing() as connection:
            stored, row = self._over(connection, visit_id)
            if reviews.has_review(connection, visit_id):
                raise StoreError(f"visit {visit_id} has a review", "take it back first: birdwatchd review --undo")
            reviews.archive_verdict(connection, stored.visit, row.model_id, "relabel", now)
            visit = replace(stored.visit, model=model)
            if moments:
                revision.replace_predictions(connection, visit, moments)
            return self._revise(connection, visit, verdict, compose, now, decide)

    def calibrate(self, model: str, temperature: float, visits: int, now: datetime) -> None:
        """Remember a model's temperature, and from how many reviewed visits it comes."""
        with self._writing() as connection:
            number = revision.model_id(connection, model, None)
            values = {"model_id": number, "temperature": temperature, "visits": visits, "at": now}
            connection.execute(sa.insert(schema.calibration).prefix_with("OR REPLACE").values(values))

    @staticmethod
    def _over(connection: Connection, visit_id: str) -> tuple[StoredVisit, Row[Any]]:
        """A visit that is over, as stored."""
        row = connection.execute(stored_visits().where(schema.visit.c.id == visit_id)).first()
        if row is None:
            raise StoreError(f"there is no visit {visit_id}", "see `birdwatchd visits`")
        if row.ended_at is None:
            raise StoreError(f"the bird of visit {visit_id} is still there", "review it when it has left")
        return to_stored_visit(row), row

    def _revise(
        self,
        connection: Connection,
        visit: Visit,
        verdict: Verdict,
        compose: Compose | None,
        now: datetime,
        decide: Decide | None,
    ) -> Visit:
        """Write a visit that is over once more, with another verdict, and tell of it what is news."""
        changed = replace(visit, verdict=verdict, revision=visit.revision + 1)
        work = revision.Revision(connection, changed, now, self.zone, self._media, relabelled=True)
        self._record(work, (), {}, compose, decide)
        return changed

    def close_interrupted(
        self,
        now: datetime,
        compose: Compose | None,
        cameras: Collection[str] | None = None,
        decide: Decide | None = None,
    ) -> list[Visit]:
        """End the visits that a killed run left open, when the bird was last seen. Call it before any camera.

        Args:
            cameras: those of these cameras, and of cameras that are not watched any more; all by default.
        """
        ended = []
        for visit in self.interrupted(cameras, now):
            final = replace(visit, end=visit.last_seen, revision=visit.revision + 1)
            self.record(final, (), compose, now, decide)
            ended.append(final)
        return ended

    def sweep(self, now: datetime) -> int:
        """Delete crops and clips that no row names (a crash between file and commit); how many. Call it at start.

        Looks only into day folders that changed since the last sweep (see `Media.sweep`), and waits for other
        processes that are just recording.
        """
        with self._lock, store_errors(self.path), home_lock(self.home, shared=False):
            return self._media.sweep(self._named_files, now)

    def _named_files(self, visit_ids: list[str]) -> set[str]:
        moment, visit, named = schema.moment.c, schema.visit.c, set()
        with self._engine.begin() as connection:
            for first in range(0, len(visit_ids), 500):  # SQLite allows 999 parameters in its oldest builds
                chosen = visit_ids[first : first + 500]
                named |= set(connection.execute(sa.select(moment.crop).where(moment.visit_id.in_(chosen))).scalars())
                named |= set(connection.execute(sa.select(visit.clip).where(visit.id.in_(chosen))).scalars())
        return named

    def enqueue(self, messages: Sequence[Message], now: datetime) -> None:
        """Put messages into the outbox that belong to no visit (states)."""
        with self._writing() as connection:
            outbox.add(connection, messages, now)

    def delivered(self, ids: Sequence[int], now: datetime) -> None:
        """These rows were delivered: delete them, and note on their visits when the broker was first told."""
        with self._writing() as connection:
            outbox.remove(connection, ids, now)

    def drop_older(self, channel: str, before: datetime) -> int:
        """Delete what has been waiting for a channel since before a time; how many messages."""
        with self._writing() as connection:
            return outbox.remove_older(connection, channel, before)

    def keep_channels(self, channels: Collection[str]) -> int:
        """Delete what waits for channels that do not exist any more; how many messages. Call it at start."""
        with self._writing() as connection:
            return outbox.remove_unknown(connection, channels)

    def effort(self, camera: str, at: datetime, state: str) -> None:
        """Note that a camera is in a state; call it at every status report.

        Extends the camera's newest span if the state is the same and less than 5 minutes passed (also over a
        restart), else begins a new one. Written at most every 30 s unless the state changes.
        """
        cached = self._effort.get(camera)
        if cached and cached[0] == state and timedelta(0) <= at - cached[1] < EFFORT_STEP:
            return
        with self._writing() as connection:
            camera_id = revision.camera_id(connection, camera, at)
            _extend_effort(connection, camera_id, at, state)
        self._effort[camera] = (state, at)

    def forget_recording(self, recording: Recording) -> None:
        """Delete what earlier passes of this model over this file left, before it is scanned again.

        Whatever their settings, and finished or not; also what was found while the file was still growing. Visits
        with a review stay. Rows go in one transaction, then their crops.
        """
        with self._writing() as connection:
            model_id = revision.model_id(connection, recording.model, None)
            crops = forget(connection, recording, model_id)
        for name in crops:
            self._media.remove(name)

    def mark_scanned(
        self, recording: Recording, *, visits: int, error: str | None, now: datetime, growing: bool = False
    ) -> None:
        """Remember that a recording was read to its end, so that a scan can go on.

        Args:
            error: why it could not be read; it will be tried again.
            growing: the file changed while it was read; what is there next time takes its place.
        """
        with self._writing() as connection:
            values = {
                "path": recording.path,
                "size": recording.size,
                "mtime_ns": recording.mtime_ns,
                "model_id": revision.model_id(connection, recording.model, None),
                "settings": recording.settings,
                "finished_at": now,
                "visits": visits,
                "error": error,
                "growing": growing,
            }
            connection.execute(sa.insert(schema.scanned).prefix_with("OR REPLACE").values(values))


def _extend_effort(connection: Connection, camera_id: int, at: datetime, state: str) -> None:
    table = schema.effort
    end = table.c["to"]
    query = sa.select(table.c.id, end.label("until"), table.c.state).where(table.c.camera_id == camera_id)
    newest = connection.execute(query.order_by(end.desc(), table.c.id.desc()).limit(1)).first()
    near = newest is not None and at - newest.until < EFFORT_GAP
    if newest is not None and near and at > newest.until:
        connection.execute(sa.update(table).where(table.c.id == newest.id).values({"to": at}))
    if newest is None or not near or newest.state != state:
        connection.execute(sa.insert(table).values({"camera_id": camera_id, "from": at, "to": at, "state": state}))
