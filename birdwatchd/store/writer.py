"""Write visits: each revision is one transaction, with its moments, its firsts and the messages about it.

After kill -9 the database says exactly what was seen and what of it was published: crops are files before their rows
exist, and the messages are rows of the same transaction as the visit. One thread writes visits, another deletes outbox
rows; a lock in the process and SQLite's own between processes keep them apart.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from birdwatchd.disk import DiskRoom
from birdwatchd.errors import NoSuchVisit, ReviewRefused, StoreError
from birdwatchd.records import State, Verdict, Visit
from birdwatchd.store import outbox, reviews, revision, schema
from birdwatchd.store.camera_state import EFFORT_GAP
from birdwatchd.store.database import Database
from birdwatchd.store.embeddings import model_id
from birdwatchd.store.media import frame_path, home_lock
from birdwatchd.store.news import StoredVisit
from birdwatchd.store.reader import rank_of, stored_visits, to_stored_visit
from birdwatchd.store.rescue.notes import CropNote, stored_note, with_note
from birdwatchd.store.retention.going import add_going, forget_gone
from birdwatchd.store.reviews import Review
from birdwatchd.store.revision import KeptMoment, MomentRow, Recorded, Revision, Setup
from birdwatchd.store.sqlite_errors import is_full, store_errors

__all__ = ["Writer"]

log = logging.getLogger(__name__)

REHEARSED_CROP = "media/.selftest.jpg"
MOST_MOMENTS = 8  # of a visit that are kept, with their pictures; the others only counted in its verdict


class _TakenBack(Exception):
    """A rehearsal is over: everything it wrote is rolled back."""


class Writer:
    """All that changes visits. `Store.writer` makes one, and says who composes messages and who decides on alerts.

    These two are called inside the transactions, and must not wait for anything.
    """

    def __init__(self, database: Database, setup: Setup) -> None:
        self._database, self._setup = database, setup
        self._without_pictures = False  # since the disk is nearly full

    def record(self, visit: Visit, moments: Sequence[MomentRow], now: datetime) -> Recorded:
        """Keep a revision of a visit, and put what is news of it into the outbox, all together or not at all.

        Idempotent: a revision that is not newer than the stored one changes nothing. Of a visit's moments the best
        `MOST_MOMENTS` are kept: one that is surpassed goes, with its crop. Crops are written and synced
        first; if the transaction fails they are deleted again. On a disk that is nearly full moments are kept without
        them: a visit matters more than its picture. A clip is named only if it lies where it must; one that
        comes for a visit that is over changes nothing else of it, whatever this revision says.

        Args:
            moments: those that no earlier revision carried; known ones are ignored.

        Raises:
            StoreBusy, StoreFull, StoreError: nothing was kept; the caller may try again.
        """
        database = self._database
        with database.lock, store_errors(database.path), home_lock(database.home, shared=True), ExitStack() as undo:
            with database.reading() as connection:
                known = revision.known(connection, visit.visit_id)
            if known and known.camera != visit.camera:  # its process may be another's
                log.error(
                    "camera %s sent a visit of camera %s (%s); it is left as it was",
                    visit.camera,
                    known.camera,
                    visit.visit_id,
                )
                return Recorded(False, known.phase, known.firsts)
            afterwards = known is not None and known.ended and visit.clip is not None
            new_clip = afterwards and known is not None and known.clip != visit.clip
            if known and known.revision >= visit.revision and not new_clip:  # a review counts revisions on as well
                return Recorded(False, known.phase, known.firsts)
            visit = self._with_checked_clip(visit)
            if known and afterwards:
                if visit.clip is not None:
                    self._setup.media.sync_folders([visit.clip])
                    with database.writing(durable=True) as connection:
                        revision.add_clip(connection, visit, now)
                return Recorded(visit.clip is not None, known.phase, known.firsts, only_clip=True)
            if known and known.reviewed is not None:  # what a person said stands
                visit = replace(visit, verdict=known.reviewed)
            with database.reading() as connection:
                kept = revision.kept_moments(connection, visit.visit_id)
            best = _best_moments(kept, moments)
            crops = self._write_crops(visit, [row for row in moments if row.moment.index in best - kept.keys()], undo)
            self._setup.media.sync_folders(name for name in (*crops.values(), visit.clip) if name is not None)
            surpassed = [kept[index] for index in kept.keys() - best]
            with database.writing(durable=True) as connection:
                if surpassed:
                    revision.forget_moments(connection, visit.visit_id, surpassed)
                recorded = Revision(connection, visit, now, self._setup).write(moments, crops)
            undo.pop_all()
            for one in surpassed:
                if one.crop is not None:
                    self._setup.media.remove_crop(one.crop)
        if visit.end is not None:
            self.renew_note(visit.visit_id)
        return recorded

    def withdraw(self, visit: Visit, now: datetime) -> None:
        """Remove a visit that turned out to be none, with its pictures, and take back what was published of it.

        One that has a review stays, and so does another camera's.

        Args:
            visit: as it ends, rejected; or one that was removed before, with the clip that came afterwards.

        Raises:
            StoreBusy, StoreFull, StoreError: nothing was removed; the caller may try again.
        """
        self._remove(visit, now, also_reviewed=False)

    def delete(self, visit_id: str, now: datetime) -> None:
        """Delete a visit with its pictures and its clip, and take back what was published of it.

        Raises:
            StoreError: there is no such visit, or the bird is still there.
        """
        with self._database.reading() as connection:
            stored, _ = _over(connection, visit_id)
        visit = stored.visit
        rejected = replace(visit.verdict, state=State.REJECTED, reasons=("deleted by a person",))
        self._remove(replace(visit, verdict=rejected, revision=visit.revision + 1), now, also_reviewed=True)

    def _remove(self, visit: Visit, now: datetime, *, also_reviewed: bool) -> None:
        database, table = self._database, schema.visit
        mine = table.c.id == visit.visit_id
        with database.lock, store_errors(database.path), home_lock(database.home, shared=True):
            with database.writing(durable=True) as connection:
                known = revision.known(connection, visit.visit_id)
                stays = known is not None and known.reviewed is not None and not also_reviewed
                if known is not None and (known.camera != visit.camera or stays):
                    return
                crops = [one.crop for one in revision.kept_moments(connection, visit.visit_id).values()]
                if known is not None:
                    Revision(connection, replace(visit, clip=None), now, self._setup).write()
                    outbox.keep_without_visit(connection, visit.visit_id)
                    connection.execute(sa.delete(table).where(mine))
                clips = {visit.clip, known.clip if known else None} - {None}
                files = {name for name in (*clips, *crops) if name is not None}
                add_going(connection, files)  # what a kill leaves is deleted by the next start, not rescued
            for name in files:
                if name in clips:
                    self._setup.media.remove(name)
                else:
                    self._setup.media.remove_crop(name)
            gone = [name for name in files if not (database.home / name).exists()]
            if gone:
                with database.writing() as connection:
                    forget_gone(connection, gone)

    def rehearse(self, visit: Visit, moments: Sequence[MomentRow], now: datetime) -> None:
        """Write a visit and a crop as `record` does, read them back, and take everything back: nobody ever sees them.

        The transaction is rolled back, so that a kill leaves nothing; the crop lies where no sweep and no repair looks.

        Raises:
            StoreBusy, StoreFull, StoreError: it could not be written, or is not what was read back.
        """
        database, media, readable = self._database, self._setup.media, False
        with database.lock, store_errors(database.path), home_lock(database.home, shared=True), ExitStack() as undo:
            undo.callback(media.remove, REHEARSED_CROP)
            for row in moments:
                jpeg = with_note(row.moment.crop.jpeg, CropNote(visit, row, visit.model))
                media.write(REHEARSED_CROP, jpeg)
                if media.read(REHEARSED_CROP) != jpeg:
                    raise StoreError(f"{media.root}: a crop is not what was written", "check the disk")
            with suppress(_TakenBack), database.writing() as connection:
                Revision(connection, visit, now, self._setup).write(moments, dict.fromkeys(range(len(moments))))
                found = connection.execute(stored_visits().where(schema.visit.c.id == visit.visit_id)).first()
                kept = revision.kept_moments(connection, visit.visit_id)
                back = to_stored_visit(found).visit.verdict.common_name if found is not None else ""
                readable = back == visit.verdict.common_name and len(kept) == len(moments)
                raise _TakenBack
        if not readable:
            raise StoreError(f"{database.path}: a visit is not what was written", "see `birdwatchd doctor`")

    def renew_note(self, visit_id: str, *, daemon_does: bool = False) -> None:
        """Write into the best crop of a visit what its rows say now; where that fails, its older note stays.

        Args:
            daemon_does: the daemon does it where this process may write no crop, as the page's may not.
        """
        database, media = self._database, self._setup.media
        try:
            with database.lock, store_errors(database.path), home_lock(database.home, shared=True):
                with database.reading() as connection:
                    found = stored_note(connection, visit_id)
                jpeg = media.read(found[0]) if found else None
                if found and jpeg is not None and (noted := with_note(jpeg, found[1])) != jpeg:
                    media.write(found[0], noted)
        except StoreError as error:
            if daemon_does and isinstance(error.__cause__, PermissionError):
                return
            log.warning("visit %s is stored, but its picture does not say how it ended: %s", visit_id, error.message)

    def _with_checked_clip(self, visit: Visit) -> Visit:
        if visit.clip is None or self._setup.media.has_clip(visit.clip):
            return visit
        log.warning("the clip of visit %s is not where it should be, and is left out", visit.visit_id)
        return replace(visit, clip=None, clip_cut=False)

    def _write_crops(self, visit: Visit, moments: Sequence[MomentRow], undo: ExitStack) -> dict[int, str | None]:
        """Write the pictures of moments; None for those for which there is no room, or that are not to be kept."""
        media, crops = self._setup.media, dict[int, str | None]()
        if not media.keeps_pictures_of(visit.camera):
            return dict.fromkeys(row.moment.index for row in moments)
        room = bool(moments) and DiskRoom.at(self._database.home).for_pictures
        for row in moments:
            if row.moment.index in crops:
                continue
            name = media.path_of(visit, row.moment.index)
            try:
                if room:
                    undo.callback(media.remove_crop, name)
                    if row.moment.frame:
                        media.write(frame_path(name), row.moment.frame)
                    media.write(name, with_note(row.moment.crop.jpeg, CropNote(visit, row, visit.model)))
            except OSError as error:
                if not is_full(error):
                    raise
                room = False
            crops[row.moment.index] = name if room else None
        if moments and room is self._without_pictures:
            self._without_pictures = not room
            if not room:
                log.error("%s: no room for pictures; visits are kept without them until there is", self._database.home)
            else:
                log.info("visits are kept with pictures again")
        return crops

    def review(self, visit_id: str, review: Review, now: datetime, *, job_at: datetime | None = None) -> Visit:
        """Replace a visit's verdict by what a person said; the old one is kept. Returns the visit as it is then.

        What the same person said last changes nothing, and takes no second undo.

        Args:
            job_at: when it was said, of many visits at once; a visit that was reviewed before is then left as it is.

        Raises:
            NoSuchVisit: there is no such visit.
            ReviewRefused: the bird is still there, there is nothing to confirm, or it was reviewed before.
        """
        with self._database.writing(durable=True) as connection:
            stored, row = _over(connection, visit_id)
            if job_at is not None and reviews.has_review(connection, visit_id):
                raise ReviewRefused(f"visit {visit_id} was reviewed before", "see `birdwatchd visits`")
            verdict = reviews.reviewed(stored.visit, review)
            if reviews.is_said(connection, stored.visit, review):
                return stored.visit
            reviews.archive_verdict(connection, stored.visit, row.model_id, "review", now)
            said = {"verdict": review.verdict.value, "species": review.species, "by": review.by}
            connection.execute(sa.insert(schema.review).values(visit_id=visit_id, at=job_at or now, **said))
            changed = self._revise(connection, stored.visit, verdict, now)
        self.renew_note(visit_id, daemon_does=True)
        return changed

    def undo_review(self, visit_id: str, now: datetime, *, job_at: datetime | None = None) -> Visit:
        """Undo the newest review of a visit: its verdict is again what it was before. Returns the visit as it is then.

        Args:
            job_at: only a review of the job of this time; by default whichever.

        Raises:
            NoSuchVisit: there is no such visit.
            ReviewRefused: there is no such review of it.
        """
        with self._database.writing(durable=True) as connection:
            stored, _ = _over(connection, visit_id)
            before = reviews.undo_review(connection, visit_id, job_at)
            changed = self._revise(connection, stored.visit, before, now)
        self.renew_note(visit_id, daemon_does=True)
        return changed

    def relabel(
        self, visit_id: str, verdict: Verdict, model: str, moments: Sequence[MomentRow], now: datetime
    ) -> Visit:
        """Replace a visit's verdict by another of the network; the old one is kept. Returns the visit as it is then.

        Args:
            model: that gave the verdict, name@version.
            moments: what this model says of moments that another had been asked about; their crops stay.

        Raises:
            StoreError: there is no such visit, it is not over, or it has a review.
        """
        with self._database.writing(durable=True) as connection:
            stored, row = _over(connection, visit_id)
            if reviews.has_review(connection, visit_id):
                raise StoreError(f"visit {visit_id} has a review", "take it back first: birdwatchd review --undo")
            reviews.archive_verdict(connection, stored.visit, row.model_id, "relabel", now)
            visit = replace(stored.visit, model=model)
            if moments:
                revision.replace_predictions(connection, visit, moments)
            changed = self._revise(connection, visit, verdict, now)
        self.renew_note(visit_id)
        return changed

    def _revise(self, connection: Connection, visit: Visit, verdict: Verdict, now: datetime) -> Visit:
        """Write a visit that is over once more, with another verdict, and publish what is news of it."""
        changed = replace(visit, verdict=verdict, revision=visit.revision + 1)
        Revision(connection, changed, now, self._setup, relabelled=True).write()
        return changed

    def calibrate(self, model: str, temperature: float, visits: int, now: datetime) -> None:
        """Remember a model's temperature, and from how many reviewed visits it comes."""
        with self._database.writing() as connection:
            number = model_id(connection, model, None)
            values = {"model_id": number, "temperature": temperature, "visits": visits, "at": now}
            connection.execute(sa.insert(schema.calibration).prefix_with("OR REPLACE").values(values))

    def close_interrupted(self, now: datetime, cameras: Collection[str] | None = None) -> list[Visit]:
        """End the visits that a killed run left open, when the bird was last seen. Call it before any camera.

        Args:
            cameras: those of these cameras, and of cameras that are not watched any more; all by default.
        """
        with self._database.reading() as connection:
            interrupted = _interrupted(connection, cameras, now)
        ended = []
        for visit in interrupted:
            final = replace(visit, end=visit.last_seen, revision=visit.revision + 1)
            self.record(final, (), now)
            ended.append(final)
        return ended


def _best_moments(kept: Mapping[int, KeptMoment], moments: Sequence[MomentRow]) -> set[int]:
    """Indices of the moments, stored and new, that a visit keeps."""
    ranks = {row.moment.index: rank_of(row.bird_evidence, row.moment.quality) for row in moments}
    ranks |= {index: one.rank for index, one in kept.items()}
    return set(sorted(sorted(ranks), key=ranks.__getitem__, reverse=True)[:MOST_MOMENTS])


def _over(connection: Connection, visit_id: str) -> tuple[StoredVisit, Row[Any]]:
    """A visit that is over, as stored."""
    row = connection.execute(stored_visits().where(schema.visit.c.id == visit_id)).first()
    if row is None:
        raise NoSuchVisit(f"there is no visit {visit_id}", "see `birdwatchd visits`")
    if row.ended_at is None:
        raise ReviewRefused(f"visit {visit_id} is not over yet", "review it when the bird has left")
    return to_stored_visit(row), row


def _interrupted(connection: Connection, cameras: Collection[str] | None, now: datetime) -> list[Visit]:
    """The visits without an end that nobody is going to end, unless this process does.

    Args:
        cameras: those of these cameras, which this process is going to watch, and those of live cameras that no
            process has watched for `EFFORT_GAP` (they were taken out of the configuration). None for all.
    """
    visit, effort = schema.visit.c, schema.effort.c
    query = stored_visits().where(visit.ended_at.is_(None)).order_by(visit.id)
    if cameras is not None:
        since = now - EFFORT_GAP
        later = now + EFFORT_GAP  # no stamp of a clock that was ahead says that somebody watches
        watched = sa.select(effort.camera_id).where(effort["to"] > since, effort["to"] < later)
        silent = sa.or_(visit.updated_at < since, visit.updated_at > later)
        unwatched = (visit.media.is_(None), silent, visit.camera_id.not_in(watched))
        query = query.where(sa.or_(schema.camera.c.key.in_(cameras), sa.and_(*unwatched)))
    return [to_stored_visit(row).visit for row in connection.execute(query)]
