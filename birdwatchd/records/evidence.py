"""What a camera process sees and hands on: regions, crops, moments, the evidence of a visit, and live views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from birdwatchd.records.box import Box

__all__ = ["LIFELESS", "MIN_QUALITY", "Crop", "Evidence", "LiveView", "Moment", "Region", "weight_of"]

MIN_QUALITY = 0.01  # that counts: a crop of no quality at all still is a picture of something


@dataclass(frozen=True, slots=True)
class Region:
    """A place in one frame that differs from the learned background.

    Attributes:
        box: where, in fractions of the frame.
        fill: share of the box that is foreground, 0 … 1.
        contrast: mean excess over the local threshold, in units of that threshold.
        ghost: it differs because something has left the background, not because something is there.
        activity: share of its cells that changed since the last frame, 0 … 1; static objects soon show none.
        change_score: how little the background, in another light or shifted, explains it, 0 … 1; 1 where it was not
            measured.
        scored: whether it was measured.
        why: empty for what may be a bird, else what explains it (for people who tune).
        tone: grey levels of its cells at some quantiles (`birdwatchd.camera.motion.tone`); empty where they say
        nothing.
    """

    box: Box
    fill: float
    contrast: float
    ghost: bool = False
    activity: float = 1.0
    change_score: float = 1.0
    scored: bool = False
    why: str = ""
    tone: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Crop:
    """A square picture of a bird, ready for the classifier, the disk and a person.

    Attributes:
        jpeg: the encoded picture, RGB, 4:4:4, in which the part that the network sees is marked (`seen_part.py`).
        width, height: pixels of the picture in `jpeg`.
    """

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at the bird of a visit.

    Attributes:
        index: 0, 1, 2 … within the visit; (visit id, index) names a moment for ever.
        at: when the frame was taken, UTC.
        box: the bird (not the crop) in fractions of the frame.
        quality: 0 … 1, higher is sharper, larger and further from the edge.
        media_s: seconds from the start of the media, for files.
        frame: JPEG of the whole frame; empty where it is not to be kept.
    """

    index: int
    at: datetime
    box: Box
    quality: float
    crop: Crop
    media_s: float | None = None
    frame: bytes = b""


def weight_of(bird_evidence: float, quality: float) -> float:
    """How much a moment counts: the logarithm of the odds that it shows a bird times the quality of its crop."""
    return bird_evidence + math.log(max(quality, MIN_QUALITY))


@dataclass(frozen=True, slots=True)
class LiveView:
    """What a camera shows now, and what its motion gate sees in it, for a person who looks.

    Attributes:
        jpeg: the picture, masked; boxes are fractions of it.
        width, height: pixels of the picture.
        state: whether the gate was `watching`, still `learning` its background, or the whole scene had `changed`.
        regions: what moves and may be a bird.
        ignored: what moves and is something else, and what explains it.
        tracks: what is followed, and whether it is taken for a bird already.
        part: left, top, width and height of what is shown, in fractions of the main stream's picture: all of it, unless
            motion is looked for in a small stream that shows another part.
    """

    camera: str
    jpeg: bytes
    width: int
    height: int
    state: str
    regions: tuple[Box, ...] = ()
    ignored: tuple[tuple[Box, str], ...] = ()
    tracks: tuple[tuple[Box, bool], ...] = ()
    part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


LIFELESS = "nothing in it moved like an animal"
"""The reason that a visit carries of which its camera says so at its end."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that crosses from a camera to the classifier: what is new about one visit.

    Idempotent by (visit_id, revision). `moments` holds only the moments that no earlier revision carried.
    `end` is None while the bird is there; where the camera's process died it is the last sighting.
    `clip` names a video of the visit, relative to home; it comes in a revision of its own, after the end. `clip_cut`
    says that the clip ends before the visit does. `lifeless` says at its end that nothing in it moved like an animal.
    `clock` is the stretch of the station's time in which the visit began; the main process says it (`clock.py`).
    """

    visit_id: str
    camera: str
    revision: int
    start: datetime
    end: datetime | None
    last_seen: datetime
    moments: tuple[Moment, ...]
    count_max: int
    media: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    clip: str | None = None
    clip_cut: bool = False
    lifeless: bool = False
    clock: int | None = None
