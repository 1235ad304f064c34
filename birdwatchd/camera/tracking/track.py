"""What is known of one bird that is being followed: where it is, how it moves, and what it has proved so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.tone import ToneMemory
from birdwatchd.camera.tracking.boxes import distance_to_path
from birdwatchd.records import Box, Region

__all__ = ["Departure", "Step", "Template", "Track"]

REST_SPEED = 2.0  # its own sizes per second; a faster bird flies, and its wings are open
LOST_LOOKS, LOST_S = 3, 0.25  # what is no bird yet and is missed in more looks, and for longer, may be another thing
ANCHOR_RADIUS = 0.5  # of its own size: what stays within this of its anchor has not moved away
Template = NDArray[np.uint8]


@dataclass(slots=True)
class Track:
    """A bird being followed. Times are seconds on the frames' clock.

    Attributes:
        region: the last sighting.
        count_max: most birds confirmed at once while this one was there.
        presence: share of the recent looks in which it was seen.
        anchor, anchor_since_s: the point around which it has stayed, and since when.
        start_box: where it was seen first; `travel_from`: the box from which `travelled` counts, in its own sizes.
        unseen_looks: how many there were since it was last seen, the present one not counted.
        alone_s: when it last had a region of its own.
        separated_s: when it was last located apart from the birds around it.
        motion_looks: looks in which enough of its cells changed (`TrackerSettings.motion_share`).
        change_score: mean newness of its sightings (see `Region`).
        known_tone, recent_tone: its grey levels before, and since, it was last merged or out of sight.
        merged_with: numbers of the birds that it was merged with, and whose ids it may have taken.
        template: its cells when it was last alone; `last_template`: the cells of its box in the last look.
        error: running mean of how far it was from the way on which it was expected, in its own sizes.
    """

    number: int
    region: Region
    first_s: float
    last_s: float
    hits: int = 1
    looks: int = 1
    unseen_looks: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    confirmed: bool = False
    count_max: int = 1
    size: tuple[float, float] = field(init=False)
    start_box: Box = field(init=False)
    travel_from: Box = field(init=False)
    still_box: Box = field(init=False)
    still_since_s: float = field(init=False)
    anchor: tuple[float, float] = field(init=False)
    anchor_since_s: float = field(init=False)
    alone_s: float = field(init=False)
    ghost_looks: int = 0
    motion_looks: int = 0
    travelled: float = 0.0
    error: float = 0.0
    change_score: float = field(init=False)
    presence: float = 1.0
    separated_s: float = field(init=False)
    alone_centre: tuple[float, float] = field(init=False)
    over: bool = False
    known_tone: ToneMemory = field(default_factory=ToneMemory)
    recent_tone: ToneMemory = field(default_factory=ToneMemory)
    merged_with: set[int] = field(default_factory=set)
    template: Template | None = None
    last_template: Template | None = None

    def __post_init__(self) -> None:
        self.start_box = self.travel_from = self.still_box = self.region.box
        self.still_since_s = self.anchor_since_s = self.alone_s = self.separated_s = self.first_s
        self.anchor = self.alone_centre = self.region.box.centre
        self.size = (self.region.box.w, self.region.box.h)
        self.change_score = self.region.newness

    @property
    def box(self) -> Box:
        """Where it was last seen."""
        return self.region.box

    @property
    def speed(self) -> float:
        """Frame widths (or heights) per second."""
        return math.hypot(*self.velocity)

    @property
    def tone(self) -> ToneMemory:
        """Its tone as it is best known."""
        return self.known_tone if self.known_tone.count > self.recent_tone.count else self.recent_tone

    def settle_tone(self) -> None:
        """Count the recent tone as this bird's; what comes next may be another bird."""
        if self.recent_tone.count:
            self.known_tone.add(self.recent_tone.mean, self.recent_tone.count)
            self.recent_tone = ToneMemory()

    @property
    def at_rest(self) -> bool:
        """Whether it sits, pecks or hops rather than flies."""
        return self.speed < REST_SPEED * max(self.size)

    def predicted(self, now_s: float) -> Box:
        """Where it should be; trust in the speed fades within half a second."""
        ahead = min(now_s - self.last_s, 0.4)
        x, y = self.box.centre
        x, y = x + self.velocity[0] * ahead, y + self.velocity[1] * ahead
        return Box(x - self.box.w / 2, y - self.box.h / 2, self.box.w, self.box.h)

    def sight(
        self, region: Region, now_s: float, *, alone: bool = True, placed: bool = False, jump: float = 1e9
    ) -> None:
        """It was seen again.

        Args:
            alone: the region is this bird's only.
            placed: it is not, but the place is seen, not guessed.
            jump: how far from the expected place, in its own sizes, it must be to be perhaps another thing.
        """
        step_s = max(now_s - self.last_s, 1e-3)
        (x0, y0), (x1, y1) = self.box.centre, region.box.centre
        expected = self.predicted(now_s).centre
        size = max(*self.size, 1e-3)
        miss = math.hypot(x1 - expected[0], y1 - expected[1]) / size
        off = distance_to_path((x1, y1), (x0, y0), expected) / size  # it may brake at any moment
        self.error = 0.7 * self.error + 0.3 * off if self.hits > 1 else 0.0  # before, it has no speed to expect it by
        self._note_speed((x1 - x0) / step_s, (y1 - y0) / step_s, step_s, trusted=alone or placed)
        if self.still_box.iou(region.box) < 0.6:
            self.still_box, self.still_since_s = region.box, now_s
        lost = not self.confirmed and self.unseen_looks > LOST_LOOKS and step_s > LOST_S
        if lost or math.hypot(x1 - self.anchor[0], y1 - self.anchor[1]) > ANCHOR_RADIUS * size:
            self.anchor, self.anchor_since_s = (x1, y1), now_s
        self.ghost_looks = self.ghost_looks + 1 if region.ghost else 0
        if miss > jump:  # perhaps something else altogether: what it travelled counts from here
            self.travel_from = region.box
        first = self.travel_from.centre
        self.travelled = max(self.travelled, math.hypot(x1 - first[0], y1 - first[1]) / size)
        if alone:
            self.alone_s = self.separated_s = now_s
            self.alone_centre = (x1, y1)
            self.size = (0.8 * self.size[0] + 0.2 * region.box.w, 0.8 * self.size[1] + 0.2 * region.box.h)
            if self.at_rest and not region.ghost:
                self.recent_tone.add(region.tone)
        self.region, self.last_s, self.unseen_looks = region, now_s, 0
        self.hits += 1
        self.change_score += (region.newness - self.change_score) / min(self.hits, 12)

    def _note_speed(self, across: float, down: float, step_s: float, *, trusted: bool) -> None:
        """Average the speed of this step in, frame sizes per second."""
        if trusted:
            new = 0.6 if self.hits > 1 else 1.0
            self.velocity = ((1 - new) * self.velocity[0] + new * across, (1 - new) * self.velocity[1] + new * down)
        else:  # its place is a guess: what is known of its speed fades
            fade = math.exp(-step_s / 0.5)
            self.velocity = (fade * self.velocity[0], fade * self.velocity[1])

    def take_over(self, other: Track) -> None:
        """Continue as another track, which has turned out to be this bird."""
        self.region, self.last_s, self.velocity, self.size = other.region, other.last_s, other.velocity, other.size
        self.still_box, self.still_since_s, self.anchor, self.anchor_since_s = (
            other.still_box,
            other.still_since_s,
            other.anchor,
            other.anchor_since_s,
        )
        self.alone_s, self.separated_s, self.alone_centre = other.alone_s, other.separated_s, other.alone_centre
        self.template, self.last_template = other.template, other.last_template
        self.error, self.presence, self.ghost_looks = other.error, other.presence, 0
        self.settle_tone()
        self.recent_tone = other.recent_tone
        self.hits += other.hits

    def swap_identity(self, other: Track) -> None:
        """Fix an id switch: the two tracks had followed each other's bird."""
        for name in ("number", "first_s", "start_box", "count_max", "known_tone"):
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, theirs)
            setattr(other, name, mine)
        self.merged_with.clear()
        other.merged_with.clear()


@dataclass(frozen=True, slots=True)
class Departure:
    """Something that had been there since the scene was learned has left `box`.

    Attributes:
        left_s: when it left, on the frames' clock.
        number: of the confirmed track that it was, None if it was no track before.
        noticed_s: when its place first differed.
    """

    box: Box
    left_s: float
    number: int | None
    noticed_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """What a look changed.

    Attributes:
        open: confirmed tracks seen or still waited for.
        seen: those of them that this look saw.
        closed: confirmed tracks that are over.
        absorb: boxes that the gate should take as background (ghosts, static objects).
        left: what was part of the background and is not there any more.
    """

    open: tuple[Track, ...]
    seen: tuple[Track, ...]
    closed: tuple[Track, ...]
    absorb: tuple[Box, ...]
    left: tuple[Departure, ...] = ()
