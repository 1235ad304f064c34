"""Make rows of crops and clips that no row names: of what a crop says of itself, else of the file's name and place.

Files in `lost+found/` go back to where they were first. A visit that has a row keeps it as it is, and gets the moments
that are missing. One that has none is made of the note that was written last.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import Box, Crop, Moment, Rank, State, Verdict, Visit, visit_start
from birdwatchd.store import schema
from birdwatchd.store.camera_state import camera_id
from birdwatchd.store.database import Database
from birdwatchd.store.embeddings import is_model, model_id
from birdwatchd.store.media import DAY_FOLDERS, LOST, Media, MediaFile, home_lock, media_files
from birdwatchd.store.rescue.notes import CropNote, read_note
from birdwatchd.store.rescue.salvage import is_near
from birdwatchd.store.revision import MomentRow, Revision, Setup, known, prediction_values
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["Rebuilt", "rebuild_rows"]

UNKNOWN_MODEL = "unknown"  # of crops that do not say which model named them; its embeddings have no numbers
MILLISECOND = timedelta(milliseconds=1)  # to which an id says the time of its visit
_WHOLE = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(slots=True)
class Rebuilt:
    """What was made of files without a row.

    Attributes:
        visits: that had no row, and have one now; `unnamed` of them say only when and where they were.
        crops, clips: that rows name again.
        kept: files that stay in `lost+found/`: another file has their place.
        unusable: files that are no pictures, or that another file's row is in the way of.
    """

    visits: int = 0
    unnamed: int = 0
    crops: int = 0
    clips: int = 0
    kept: int = 0
    unusable: int = 0


def rebuild_rows(database: Database, zone: ZoneInfo, now: datetime) -> Rebuilt:
    """Put files of `lost+found/` back, and make rows of all crops and clips that no row names.

    Args:
        zone: whose midnight ends a day.

    Raises:
        StoreBusy, StoreFull, StoreDamaged, StoreError: what was made so far is kept; call again to go on.
    """
    media, rebuilt = Media(database.home), Rebuilt()
    setup = Setup(media, zone)
    with store_errors(database.path):
        for folder in sorted((database.home / LOST).glob(f"media/{DAY_FOLDERS}")):
            with home_lock(database.home, shared=False):
                _put_back(media, folder, rebuilt)
        folders = sorted(media.root.glob(DAY_FOLDERS), key=lambda folder: (folder.parts[-3:], folder.parts[-4]))
        for folder in folders:
            with database.lock, home_lock(database.home, shared=False):
                _rebuild_folder(database, setup, folder, now, rebuilt)
    return rebuilt


def _put_back(media: Media, folder: Path, rebuilt: Rebuilt) -> None:
    for file in media_files(media.home, folder):
        place = file.name.removeprefix(f"{LOST}/")
        target = media.home / place
        if target.exists():
            rebuilt.kept += 1
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(media.home / file.name, target)


def _rebuild_folder(database: Database, setup: Setup, folder: Path, now: datetime, rebuilt: Rebuilt) -> None:
    stray, _ = setup.media.strays(folder, database.named_files, now)
    by_visit: dict[str, list[MediaFile]] = {}
    for file in stray:
        if file.whole:
            rebuilt.unusable += 1  # its crop has a row, or it would not be stray; or it is gone
        elif not file.unfinished:
            by_visit.setdefault(file.visit_id, []).append(file)
    for visit_id, files in sorted(by_visit.items()):
        shown = [row for file in files if file.index is not None and (row := _shown(database.home, file)) is not None]
        rebuilt.unusable += sum(file.index is not None for file in files) - len(shown)
        clips = [file.name for file in files if file.index is None and setup.media.has_clip(file.name)]
        if shown or clips:
            with database.writing() as connection:
                _write(connection, setup, _Found(visit_id, folder, shown, clips), now, rebuilt)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A crop without a row: its path relative to home, its size, and what it says."""

    name: str
    index: int
    width: int
    height: int
    note: CropNote | None


@dataclass(frozen=True, slots=True)
class _Found:
    """The files of one visit in one day's folder."""

    visit_id: str
    folder: Path
    crops: Sequence[_Shown]
    clips: Sequence[str]

    def visit(self) -> Visit:
        """The visit as its crops say, else as far as path and name say."""
        notes = [crop.note for crop in self.crops if crop.note is not None]
        if not notes:
            return self._unnamed()
        visit = max(notes, key=lambda note: (note.visit.revision, note.visit.moments)).visit
        times = [note.row.moment.at for note in notes]
        last = max([*times, visit.start, *filter(None, (visit.last_seen, visit.end))])
        moments = max(visit.moments, len(self.crops))
        return replace(visit, end=visit.end or last, last_seen=visit.last_seen or last, moments=moments)

    def _unnamed(self) -> Visit:
        camera, year, month, day = self.folder.parts[-4:]
        start = datetime(int(year), int(month), int(day), tzinfo=UTC)
        by_id = visit_start(self.visit_id)
        if by_id is not None and abs((by_id - start).total_seconds()) < 2 * 86_400:
            start = by_id
        verdict = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.0, (), ("restored from its files",))
        number = len(self.crops)
        return Visit(self.visit_id, camera, 1, start, start, verdict, number, 1, None, UNKNOWN_MODEL, last_seen=start)


def _shown(home: Path, file: MediaFile) -> _Shown | None:
    """A crop's size and note; None for what is no picture."""
    from PIL import Image

    path = home / file.name
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    note = read_note(path)
    assert file.index is not None
    if note is not None and (note.visit.visit_id, note.row.moment.index) != (file.visit_id, file.index):
        note = None  # it was copied to another name
    return _Shown(file.name, file.index, width, height, note)


def _write(connection: Connection, setup: Setup, found: _Found, now: datetime, rebuilt: Rebuilt) -> None:
    visit = found.visit()
    is_new = known(connection, visit.visit_id) is None and not _restore_id(connection, visit)
    if is_new:
        Revision(connection, visit, now, setup, relabelled=True).write()
        rebuilt.visits += 1
        rebuilt.unnamed += visit.model == UNKNOWN_MODEL
        _write_reviews(connection, found)
    for crop in found.crops:
        if _write_moment(connection, setup.media, visit, crop):
            rebuilt.crops += 1
        else:
            rebuilt.unusable += 1
    for name in found.clips:
        if _write_clip(connection, setup.media, visit.visit_id, name):
            rebuilt.clips += 1
        else:
            rebuilt.unusable += 1


def _restore_id(connection: Connection, visit: Visit) -> bool:
    """Give the row of a visit its id again, if it is there with a damaged one: of the same time, without a moment.

    Its camera is the one that the pictures say: the row of that may have been lost too.
    """
    table = schema.visit
    moments = sa.exists().where(schema.moment.c.visit_id == table.c.id)
    same_time = table.c.started_at.between(visit.start - MILLISECOND, visit.start + MILLISECOND)
    found = connection.execute(sa.select(table.c.id).where(same_time, ~moments)).scalars()
    meant = [one for one in found if is_near(one, visit.visit_id)]
    if len(meant) != 1:
        return False
    values = {"id": visit.visit_id, "camera_id": camera_id(connection, visit.camera, visit.start)}
    connection.execute(sa.update(table).where(table.c.id == meant[0]).values(values))
    return True


def _write_clip(connection: Connection, media: Media, visit_id: str, name: str) -> bool:
    """Name a clip in the row of its visit; False if that names another one, which is there."""
    table = schema.visit
    before = connection.execute(sa.select(table.c.clip).where(table.c.id == visit_id)).scalar()
    if before is not None and (media.home / before).is_file():
        return False
    connection.execute(sa.update(table).where(table.c.id == visit_id).values(clip=name, clip_cut=False))
    return True


def _write_moment(connection: Connection, media: Media, visit: Visit, crop: _Shown) -> bool:
    """Write the moment of a crop, or name the crop in its row; False if that names another one, which is there."""
    table = schema.moment
    mine = (table.c.visit_id == visit.visit_id, table.c.idx == crop.index)
    before = connection.execute(sa.select(table.c.crop).where(*mine)).first()
    if before is not None:
        if before.crop is not None and (media.home / before.crop).is_file():
            return False
        connection.execute(sa.update(table).where(*mine).values(crop=crop.name))
        return True
    empty = np.empty(0, np.float32)
    unknown = Moment(crop.index, visit.start, _WHOLE, 0.0, Crop(b"", crop.width, crop.height))
    row, model = (crop.note.row, crop.note.model) if crop.note else (MomentRow(unknown, empty, ()), UNKNOWN_MODEL)
    if not _fits(connection, model, len(row.embedding)):
        row, model = replace(row, embedding=empty), UNKNOWN_MODEL
    moment = row.moment
    values = {
        "visit_id": visit.visit_id,
        "idx": crop.index,
        "at": moment.at,
        "box": [moment.box.x, moment.box.y, moment.box.w, moment.box.h],
        "quality": moment.quality,
        "model_id": model_id(connection, model, len(row.embedding)),
        "crop": crop.name,
        "width": crop.width,
        "height": crop.height,
    } | prediction_values(row)
    connection.execute(sa.insert(table).values(values))
    return True


def _fits(connection: Connection, model: str, dim: int) -> bool:
    """Whether the embeddings of a model have this length, or none is stored yet."""
    before = connection.execute(sa.select(schema.model.c.dim).where(is_model(model))).scalar()
    return model == UNKNOWN_MODEL or (dim > 0 and before in (None, dim))


def _write_reviews(connection: Connection, found: _Found) -> None:
    """Write what people said of a visit, as the crop says that remembers most."""
    notes = [crop.note.reviews for crop in found.crops if crop.note is not None]
    for one in max(notes, key=len, default=()):
        values = {"at": one.at, "verdict": one.verdict.value, "species": one.species, "by": one.by}
        connection.execute(sa.insert(schema.review).values(visit_id=found.visit_id, **values))
