"""Hold the state of a track in frozen parts: who it is, how it moves, how often it is seen, what it looks like.

Each part is replaced as a whole. So a track can take over where another one is and what it looks like, and two tracks
can swap who they are, without a field being forgotten. Times are seconds on the frames' clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.tone import MeanTone, Tone
from birdwatchd.camera.tracking.boxes import distance_to_path
from birdwatchd.records import Box, Region

__all__ = ["Appearance", "Identity", "MotionState", "Sightings", "Template"]

REST_SPEED = 2.0  # its own sizes per second; a faster bird flies, and its wings are open
ANCHOR_RADIUS = 0.5  # of its own size: what stays within this of its anchor has not moved away
REMAINS_SHARE = 0.25  # of its usual area: a smaller region may be what a bird has left behind
BREAK_MISS = 1.5  # of its own size: what is seen so far off its path may be another thing
USUAL_WEIGHT = 0.1  # of a sighting, in the mean of its area
CHANGE_HITS = 12  # sightings after which the mean change score becomes a running one
Template = NDArray[np.uint8]
Point = tuple[float, float]
NO_TONE = MeanTone()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a track is.

    Attributes:
        number: unique in its tracker.
        first_s, start_box: when and where it was seen first.
        confirmed: it is a bird; else it is tentative.
        count_max: most birds confirmed at once while this one was there.
        merged_with: numbers of the birds that it was merged with, and whose ids it may have taken.
    """

    number: int
    first_s: float
    start_box: Box
    confirmed: bool = False
    count_max: int = 1
    merged_with: frozenset[int] = frozenset()

    def separated(self) -> Identity:
        """The same, no longer to be compared with the birds that it was merged with."""
        return replace(self, merged_with=frozenset())


@dataclass(frozen=True, slots=True)
class Sightings:
    """How often, and how surely, a track is seen.

    Attributes:
        hits: looks in which it was seen; `looks`: all looks since it was seen first.
        unseen_looks: looks since it was last seen.
        presence: share of the recent looks in which it was seen, an exponential mean.
        ghost_hits: latest sightings in a row that were ghosts.
        motion_looks: sightings in which enough of its cells changed (`TrackerSettings.motion_share`).
        change_score: mean change score of its sightings (see `Region`).
    """

    change_score: float
    hits: int = 1
    looks: int = 0
    unseen_looks: int = 0
    presence: float = 1.0
    ghost_hits: int = 0
    motion_looks: int = 0

    def after_hit(self, region: Region, *, moving: bool) -> Sightings:
        """After one more sighting; `moving`: enough of the region's cells changed."""
        hits = self.hits + 1
        return Sightings(
            change_score=self.change_score + (region.change_score - self.change_score) / min(hits, CHANGE_HITS),
            hits=hits,
            looks=self.looks,
            unseen_looks=0,
            presence=self.presence,
            ghost_hits=self.ghost_hits + 1 if region.ghost else 0,
            motion_looks=self.motion_looks + moving,
        )

    def after_look(self, *, seen: bool, rate: float) -> Sightings:
        """After one more look; `rate` is the weight of this look in `presence`."""
        return Sightings(
            change_score=self.change_score,
            hits=self.hits,
            looks=self.looks + 1,
            unseen_looks=0 if seen else self.unseen_looks + 1,
            presence=self.presence + rate * (seen - self.presence),
            ghost_hits=self.ghost_hits,
            motion_looks=self.motion_looks,
        )

    def continued_by(self, other: Sightings) -> Sightings:
        """Those of a bird that goes on as another track."""
        return replace(self, hits=self.hits + other.hits, presence=other.presence, ghost_hits=0)


@dataclass(frozen=True, slots=True)
class MotionState:
    """Where a track is and how it moves.

    Attributes:
        region: the last sighting, at `last_s`.
        size: mean width and height while it had a region of its own, fractions of the frame.
        velocity: frame widths and heights per second.
        error: running mean of its distance from the predicted path, in its own sizes.
        travel_from, travelled: the point from which its way counts, and how far it got from there, in its own sizes.
        still_box, still_since_s: the box that it has not left, and since when.
        anchor, anchor_since_s: the point around which it has stayed, and since when.
        usual_area: mean area of its sightings in which something of it changed, share of the frame.
        broken_s: when it last jumped away from its path, or shrank to less than `REMAINS_SHARE` of its usual area.
        active_s: when something of it last changed.
        alone_s, alone_centre: when and where it last had a region of its own.
        separated_s: when it was last located apart from the birds around it.
    """

    region: Region
    last_s: float
    size: tuple[float, float]
    velocity: tuple[float, float]
    error: float
    travel_from: Point
    travelled: float
    still_box: Box
    still_since_s: float
    anchor: Point
    anchor_since_s: float
    usual_area: float
    broken_s: float
    active_s: float
    alone_s: float
    alone_centre: Point
    separated_s: float

    @classmethod
    def begin(cls, region: Region, now_s: float) -> MotionState:
        """That of a track that was seen once."""
        box, centre = region.box, region.box.centre
        return cls(
            region=region,
            last_s=now_s,
            size=(box.w, box.h),
            velocity=(0.0, 0.0),
            error=0.0,
            travel_from=centre,
            travelled=0.0,
            still_box=box,
            still_since_s=now_s,
            anchor=centre,
            anchor_since_s=now_s,
            usual_area=box.area,
            broken_s=now_s,
            active_s=now_s,
            alone_s=now_s,
            alone_centre=centre,
            separated_s=now_s,
        )

    @property
    def box(self) -> Box:
        """Where it was last seen."""
        return self.region.box

    @property
    def area(self) -> float:
        """Of its mean size, share of the frame."""
        return self.size[0] * self.size[1]

    @property
    def speed(self) -> float:
        """Frame widths (or heights) per second."""
        return math.hypot(*self.velocity)

    @property
    def lifeless(self) -> bool:
        """Whether nothing has changed in it since it jumped or shrank: what a bird leaves behind is no bird."""
        return self.active_s <= self.broken_s < self.last_s

    @property
    def at_rest(self) -> bool:
        """Whether it sits, pecks or hops rather than flies."""
        return self.speed < REST_SPEED * max(self.size)

    def predicted(self, now_s: float) -> Box:
        """Where it should be at constant velocity, of which no more than 0.4 s are trusted."""
        ahead_s = min(now_s - self.last_s, 0.4)
        x, y = self.box.centre
        x, y = x + self.velocity[0] * ahead_s, y + self.velocity[1] * ahead_s
        return Box(x - self.box.w / 2, y - self.box.h / 2, self.box.w, self.box.h)

    def extended_to(self, box: Box) -> MotionState:
        """With a larger box for the last sighting."""
        usual_area = self.usual_area + USUAL_WEIGHT * (box.area - self.box.area)
        return replace(self, region=replace(self.region, box=box), usual_area=usual_area)

    def after_hit(
        self,
        region: Region,
        now_s: float,
        *,
        first: bool,
        alone: bool,
        located: bool,
        measured: bool,
        lost: bool,
        max_jump: float,
    ) -> MotionState:
        """After one more sighting; `alone`, `located`, `measured` and `max_jump` as for `Track.update`.

        Args:
            first: it was seen only once before, so that it had no speed to be predicted by.
            lost: it was unseen for so long that it may be another thing.
        """
        step_s = max(now_s - self.last_s, 1e-3)
        box, centre = region.box, region.box.centre
        (x0, y0), (x1, y1) = self.box.centre, centre
        expected = self.predicted(now_s).centre
        size = max(*self.size, 1e-3)
        miss = math.hypot(x1 - expected[0], y1 - expected[1]) / size
        off = distance_to_path(centre, (x0, y0), expected) / size  # it may brake at any moment
        travel_from = centre if miss > max_jump else self.travel_from
        way = math.hypot(x1 - travel_from[0], y1 - travel_from[1]) / size
        left_box = self.still_box.iou(box) < 0.6
        left_anchor = lost or math.hypot(x1 - self.anchor[0], y1 - self.anchor[1]) > ANCHOR_RADIUS * size
        shrunk = box.area < REMAINS_SHARE * self.usual_area
        broken = miss > BREAK_MISS or (shrunk and self.box.area >= REMAINS_SHARE * self.usual_area)
        active = region.activity > 0.0
        seen_velocity = ((x1 - x0) / step_s, (y1 - y0) / step_s) if alone or measured else None
        return MotionState(
            region=region,
            last_s=now_s,
            size=(0.8 * self.size[0] + 0.2 * box.w, 0.8 * self.size[1] + 0.2 * box.h) if alone else self.size,
            velocity=_mean_velocity(self.velocity, seen_velocity, step_s, weight=1.0 if first else 0.6),
            error=0.0 if first else 0.7 * self.error + 0.3 * off,
            travel_from=travel_from,
            travelled=max(self.travelled, way),
            still_box=box if left_box else self.still_box,
            still_since_s=now_s if left_box else self.still_since_s,
            anchor=centre if left_anchor else self.anchor,
            anchor_since_s=now_s if left_anchor else self.anchor_since_s,
            usual_area=self.usual_area + (USUAL_WEIGHT * (box.area - self.usual_area) if active else 0.0),
            broken_s=now_s if broken else self.broken_s,
            active_s=now_s if active and not broken else self.active_s,
            alone_s=now_s if alone else self.alone_s,
            alone_centre=centre if alone else self.alone_centre,
            separated_s=now_s if alone or located else self.separated_s,
        )


def _mean_velocity(
    velocity: tuple[float, float], seen: tuple[float, float] | None, step_s: float, *, weight: float
) -> tuple[float, float]:
    """Average in the velocity that was seen; where the place is a guess (None), the old one fades."""
    if seen is not None:
        return (1 - weight) * velocity[0] + weight * seen[0], (1 - weight) * velocity[1] + weight * seen[1]
    fade = math.exp(-step_s / 0.5)
    return fade * velocity[0], fade * velocity[1]


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a track looks like.

    Attributes:
        template: its cells, uint8 (rows, columns), when it was last alone; `last_template`: those in the last look.
        known_tone, recent_tone: its grey levels before, and since, it was last merged or out of sight.
    """

    template: Template | None = None
    last_template: Template | None = None
    known_tone: MeanTone = NO_TONE
    recent_tone: MeanTone = NO_TONE

    @property
    def tone(self) -> MeanTone:
        """Its tone as it is best known."""
        return self.known_tone if self.known_tone.count > self.recent_tone.count else self.recent_tone

    def with_template(self, cells: Template) -> Appearance:
        """After a look in which it was alone."""
        return Appearance(cells, cells, self.known_tone, self.recent_tone)

    def with_last_template(self, cells: Template | None) -> Appearance:
        """After a look in which it was merged; None where its cells are not known."""
        return Appearance(self.template, cells, self.known_tone, self.recent_tone)

    def with_tone(self, tone: Tone) -> Appearance:
        """After one more sighting at rest."""
        if not tone:
            return self
        return Appearance(self.template, self.last_template, self.known_tone, self.recent_tone.with_tone(tone))

    def settled(self) -> Appearance:
        """With the recent tone counted as this bird's; what comes next may be another bird."""
        if not self.recent_tone.count:
            return self
        known = self.known_tone.with_tone(self.recent_tone.mean, self.recent_tone.count)
        return Appearance(self.template, self.last_template, known)

    def continued_by(self, other: Appearance) -> Appearance:
        """That of a bird that goes on as another track."""
        return replace(other, known_tone=self.settled().known_tone)
