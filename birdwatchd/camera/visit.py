"""Hold a visit that is not over: where the bird was and when, and the moments chosen so far.

Evidence carries only what is new; what it is made of is kept here. A short history of places is kept because frames of
the main stream are decoded later than those of the small one.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from birdwatchd.camera.best_shot import MomentPicker
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.liveliness import Liveliness
from birdwatchd.records import Box

__all__ = ["OpenVisit", "box_at"]

HISTORY = timedelta(seconds=12)  # of places, for frames of the main stream that are decoded later
BETWEEN_S = 1.0  # sightings further apart say nothing about where the bird was between them
BESIDE_S = 0.15  # before the first and after the last sighting
SKEW = timedelta(seconds=0.3)  # by which the clocks of two streams may differ
SAME_PLACE = 0.7  # overlap of two boxes of a bird that did not move
WHOLE_RATIO = 0.8  # of a bird's usual width or height; a smaller box holds a part of it


@dataclass(slots=True)
class OpenVisit:
    """A visit in the making.

    Attributes:
        start_s, last_seen_s: seconds from the start of the media.
        places: time and box of the latest sightings, in order.
        picker: chooses the moments.
        fallback_picker: chooses among frames of the small stream, in case the main stream gives none.
        look_back_since: from when on the past is searched for the bird; None where every frame was processed.
        look_back: the frames of that search which are left; None where there is none.
        liveliness: how much like an animal it moves.
    """

    visit_id: str
    start: datetime
    start_s: float
    picker: MomentPicker
    fallback_picker: MomentPicker
    last_seen: datetime
    last_seen_s: float
    places: deque[tuple[datetime, Box]] = field(default_factory=deque)
    revision: int = 0
    look_back_since: datetime | None = None
    look_back: Generator[Frame, None, None] | None = None
    count_max: int = 1
    liveliness: Liveliness = field(default_factory=Liveliness)

    def add_sighting(self, at: datetime, box: Box, media_s: float) -> None:
        """Take where the bird was seen."""
        self.last_seen, self.last_seen_s = max(at, self.start), media_s
        self.places.append((at, box))
        while at - self.places[0][0] > HISTORY:
            self.places.popleft()

    def is_moving(self, at: datetime) -> bool:
        """Whether the bird is elsewhere shortly before and after a time, as far as is known."""
        before, after = box_at(self.places, at - SKEW), box_at(self.places, at + SKEW)
        return before is None or after is None or before.iou(after) < SAME_PLACE

    def whole_box(self, box: Box) -> Box:
        """A box around `box` that holds the whole bird, going by how large it was lately, also where `box` does not.

        Too wide a crop costs the network little, one of a tail costs it the bird.
        """
        if not self.places:
            return box
        w = max(box.w, WHOLE_RATIO * statistics.median(place.w for _, place in self.places))
        h = max(box.h, WHOLE_RATIO * statistics.median(place.h for _, place in self.places))
        x, y = box.centre[0] - w / 2, box.centre[1] - h / 2
        return Box(min(max(x, 0.0), max(1.0 - w, 0.0)), min(max(y, 0.0), max(1.0 - h, 0.0)), w, h)

    @property
    def known_since(self) -> datetime:
        """From when on it may be seen in full-resolution frames."""
        first = self.places[0][0]
        return min(first, self.look_back_since) if self.look_back_since is not None else first


def box_at(places: Sequence[tuple[datetime, Box]], at: datetime) -> Box | None:
    """Where a bird was at a time, between two sightings in a straight line; None when it was not there."""
    after = bisect_right(places, at, key=lambda place: place[0])
    if 0 < after < len(places):
        (t0, a), (t1, b) = places[after - 1], places[after]
        if (t1 - t0).total_seconds() > BETWEEN_S:
            return None
        part = (at - t0) / (t1 - t0)
        return Box(*(p + part * (q - p) for p, q in zip((a.x, a.y, a.w, a.h), (b.x, b.y, b.w, b.h), strict=True)))
    if not places:
        return None
    time, box = places[min(after, len(places) - 1)]
    return box if abs((time - at).total_seconds()) <= BESIDE_S else None
