"""Write into each crop what visit it shows, so that the media folder alone can restore a database.

The note is Exif metadata in front of the unchanged picture: time and name where photo programs show them, everything
else as JSON in the field for comments. It says what was known when the crop was written. The crop that shows most of
the bird gets its note again when the visit is over, and after a review or a relabelling. While there is a row, the
row is right and the note is not asked.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import Box, Crop, Moment, Rank, State, Verdict, Visit
from birdwatchd.store import schema
from birdwatchd.store.embeddings import half_bytes, model_text
from birdwatchd.store.reader import rank_of, stored_visits, to_stored_visit
from birdwatchd.store.rescue.exif import LONGEST, is_jpeg, with_exif
from birdwatchd.store.reviews import ReviewVerdict
from birdwatchd.store.revision import MomentRow

__all__ = ["CropNote", "NotedReview", "read_note", "stored_note", "with_note"]

VERSION = 1
_DESCRIPTION, _SOFTWARE, _EXIF = 0x010E, 0x0131, 0x8769  # tags of Exif 2.32
_TAKEN, _OFFSET, _COMMENT = 0x9003, 0x9011, 0x9286
_ASCII = b"ASCII\0\0\0"  # how a comment in Exif begins; JSON escapes all other letters


@dataclass(frozen=True, slots=True)
class NotedReview:
    """What a person said of a visit, as its crop remembers it."""

    at: datetime
    verdict: ReviewVerdict
    species: str | None
    by: str


@dataclass(frozen=True, slots=True)
class CropNote:
    """What a crop says of itself.

    Attributes:
        visit: as it was when the note was written; without its clip.
        row: the moment that it shows; its crop has the size, and no bytes. An empty embedding was too long to be noted.
        model: name@version, of the embedding.
        reviews: of the visit, oldest first.
    """

    visit: Visit
    row: MomentRow
    model: str
    reviews: tuple[NotedReview, ...] = ()


def with_note(jpeg: bytes, note: CropNote) -> bytes:
    """The same picture with this note in the place of an earlier one.

    Bytes that are no JPEG stay as they are: they have no place for a note.
    """
    if not is_jpeg(jpeg):
        return jpeg
    exif = _exif(note, _text(note))
    if len(exif) > LONGEST:
        exif = _exif(note, _text(note, embedding=False))
    if len(exif) > LONGEST:
        return jpeg
    return with_exif(jpeg, exif)


def read_note(path: Path) -> CropNote | None:
    """What a crop says of itself; None for a crop of an older version, and for one whose note cannot be read.

    Raises:
        OSError: the file cannot be read.
    """
    from PIL import Image

    with path.open("rb") as file:
        try:
            with Image.open(file) as image:
                comment = image.getexif().get_ifd(_EXIF).get(_COMMENT)
                size = image.size
        except (OSError, ValueError, SyntaxError, TypeError, struct.error, Image.DecompressionBombError):
            return None
    if not isinstance(comment, bytes) or not comment.startswith(_ASCII):
        return None
    try:
        said = json.loads(comment[len(_ASCII) :].rstrip(b"\0 "))
        return _note(said, *size) if said["birdwatchd"] == VERSION else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def stored_note(connection: Connection, visit_id: str) -> tuple[str, CropNote] | None:
    """What the rows of a visit say now: the path (relative to home) of the crop that shows most of it, and its note.

    None where the visit has no crop.
    """
    moment, review = schema.moment, schema.review.c
    query = sa.select(moment, schema.model.c.name, schema.model.c.version).join(schema.model)
    moments = connection.execute(query.where(moment.c.visit_id == visit_id, moment.c.crop.is_not(None))).all()
    visit = connection.execute(stored_visits().where(schema.visit.c.id == visit_id)).first()
    if not moments or visit is None:
        return None
    best = max(moments, key=lambda row: (rank_of(row.bird_evidence, row.quality), -row.idx))
    said = sa.select(review.at, review.verdict, review.species, review.by).where(review.visit_id == visit_id)
    shown = Moment(best.idx, best.at, Box(*best.box), best.quality, Crop(b"", best.width, best.height))
    embedding = np.frombuffer(best.embedding, "<f2").astype(np.float32)
    note = CropNote(
        visit=to_stored_visit(visit).visit,
        row=MomentRow(shown, embedding, tuple((name, p) for name, p in best.top), None, best.bird_evidence),
        model=model_text(best.name, best.version),
        reviews=tuple(
            NotedReview(row.at, ReviewVerdict(row.verdict), row.species, row.by)
            for row in connection.execute(said.order_by(review.id))
        ),
    )
    return best.crop, note


def _exif(note: CropNote, text: str) -> bytes:
    from PIL import Image

    verdict, at = note.visit.verdict, note.row.moment.at.astimezone(UTC)
    names = [name for name in (verdict.common_name, verdict.scientific_name) if name]
    exif = Image.Exif()
    exif[_DESCRIPTION] = f"{' / '.join(names) or 'bird'} ({verdict.state}), camera {note.visit.camera}".encode()
    exif[_SOFTWARE] = "birdwatchd"
    inner = exif.get_ifd(_EXIF)
    inner[_TAKEN], inner[_OFFSET] = f"{at:%Y:%m:%d %H:%M:%S}", "+00:00"
    inner[_COMMENT] = _ASCII + text.encode("ascii")
    data: bytes = exif.tobytes()
    return data


def _text(note: CropNote, *, embedding: bool = True) -> str:
    visit, verdict, moment = note.visit, note.visit.verdict, note.row.moment
    said = {
        "birdwatchd": VERSION,
        "visit": {
            "id": visit.visit_id,
            "camera": visit.camera,
            "revision": visit.revision,
            "start": visit.start.isoformat(),
            "end": visit.end.isoformat() if visit.end else None,
            "last_seen": visit.last_seen.isoformat() if visit.last_seen else None,
            "state": verdict.state.value,
            "rank": verdict.rank.value,
            "common_name": verdict.common_name,
            "scientific_name": verdict.scientific_name,
            "score": float(verdict.score),
            "top": [[name, float(p)] for name, p in verdict.top],
            "reasons": list(verdict.reasons),
            "raw_score": None if verdict.raw_score is None else float(verdict.raw_score),
            "raw_top": [[name, float(p)] for name, p in verdict.raw_top],
            "rare": verdict.rare,
            "moments": visit.moments,
            "count_max": visit.count_max,
            "box": _numbers(visit.box) if visit.box else None,
            "model": visit.model,
            "media": visit.media,
            "start_s": visit.start_s,
            "end_s": visit.end_s,
        },
        "moment": {
            "index": moment.index,
            "at": moment.at.isoformat(),
            "box": _numbers(moment.box),
            "quality": float(moment.quality),
            "top": [[name, float(p)] for name, p in note.row.top],
            "bird_evidence": None if note.row.bird_evidence is None else float(note.row.bird_evidence),
            "model": note.model,
            "embedding": base64.b64encode(half_bytes(note.row.embedding)).decode() if embedding else "",
        },
        "reviews": [[one.at.isoformat(), one.verdict.value, one.species, one.by] for one in note.reviews],
    }
    return json.dumps(said, separators=(",", ":"))


def _note(said: dict[str, Any], width: int, height: int) -> CropNote:
    v, m = said["visit"], said["moment"]
    verdict = Verdict(
        state=State(v["state"]),
        rank=Rank(v["rank"]),
        common_name=_name(v["common_name"]),
        scientific_name=_name(v["scientific_name"]),
        score=_number(v["score"]),
        top=_top(v["top"]),
        reasons=tuple(map(str, v["reasons"])),
        raw_score=None if v["raw_score"] is None else _number(v["raw_score"]),
        raw_top=_top(v["raw_top"]),
        rare=bool(v["rare"]),
    )
    visit = Visit(
        visit_id=str(v["id"]),
        camera=str(v["camera"])[:255],
        revision=int(v["revision"]),
        start=_time(v["start"]),
        end=_time(v["end"]) if v["end"] else None,
        verdict=verdict,
        moments=int(v["moments"]),
        count_max=int(v["count_max"]),
        box=_box(v["box"]) if v["box"] else None,
        model=str(v["model"])[:255],
        media=None if v["media"] is None else str(v["media"]),
        start_s=None if v["start_s"] is None else _number(v["start_s"]),
        end_s=None if v["end_s"] is None else _number(v["end_s"]),
        last_seen=_time(v["last_seen"]) if v["last_seen"] else None,
    )
    moment = Moment(int(m["index"]), _time(m["at"]), _box(m["box"]), _number(m["quality"]), Crop(b"", width, height))
    embedding = np.frombuffer(base64.b64decode(m["embedding"], validate=True), "<f2").astype(np.float32)
    evidence = None if m["bird_evidence"] is None else _number(m["bird_evidence"])
    row = MomentRow(moment, embedding, _top(m["top"]), None, evidence)
    reviews = (
        NotedReview(_time(at), ReviewVerdict(kind), _name(species), str(by)[:255])
        for at, kind, species, by in said["reviews"]
    )
    return CropNote(visit, row, str(m["model"])[:255], tuple(reviews))


def _name(text: object) -> str | None:
    return None if text is None else str(text)[:255]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is no number")
    return float(value)


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r:.40} has no time zone")
    return at


def _box(numbers: Sequence[object]) -> Box:
    return Box(*map(_number, numbers))


def _numbers(box: Box) -> list[float]:
    return [float(box.x), float(box.y), float(box.w), float(box.h)]


def _top(pairs: Sequence[tuple[object, object]]) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), _number(p)) for name, p in pairs)
