"""Follow one bird: a track holds its identity and its state, and replaces parts of them as it is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from birdwatchd.camera.tracking.state import Appearance, Identity, MotionState, Sightings
from birdwatchd.records import Box, Region

__all__ = ["Departure", "Step", "Track"]

LOST_LOOKS, LOST_S = 3, 0.25  # a tentative track missed in more looks, and for longer, may be another thing


class Track:
    """One bird that is followed, or what may be one; every part is frozen and replaced as a whole.

    Attributes:
        identity: who it is.
        motion: where it is and how it moves.
        sightings: how often it is seen.
        appearance: what it looks like.
        over: it has ended: it is a static object, a ghost, or lost in clutter.
    """

    __slots__ = ("appearance", "identity", "motion", "over", "sightings")

    def __init__(self, number: int, region: Region, now_s: float) -> None:
        """Begin a tentative track with its first sighting.

        Args:
            now_s: seconds on the frames' clock, as every time of a track.
        """
        self.identity = Identity(number, now_s, region.box)
        self.motion = MotionState.begin(region, now_s)
        self.sightings = Sightings(region.change_score)
        self.appearance = Appearance()
        self.over = False

    @property
    def number(self) -> int:
        """Its id, unique in its tracker."""
        return self.identity.number

    @property
    def confirmed(self) -> bool:
        """Whether it is a bird; else it is tentative."""
        return self.identity.confirmed

    @property
    def first_s(self) -> float:
        """When it was seen first."""
        return self.identity.first_s

    @property
    def last_s(self) -> float:
        """When it was seen last."""
        return self.motion.last_s

    @property
    def box(self) -> Box:
        """Where it was seen last."""
        return self.motion.region.box

    def update(
        self,
        region: Region,
        now_s: float,
        *,
        moving: bool = False,
        alone: bool = True,
        located: bool = False,
        measured: bool = False,
        max_jump: float = math.inf,
    ) -> None:
        """Take one more sighting.

        Args:
            moving: enough of its cells changed since the look before.
            alone: the region is this bird's only.
            located: it is not, but the bird was located in it.
            measured: it is not, but the place is good enough to measure the velocity.
            max_jump: how far from the prediction, in its own sizes, it may be without being another thing.
        """
        unseen_looks = self.sightings.unseen_looks
        lost = not self.confirmed and unseen_looks > LOST_LOOKS and now_s - self.last_s > LOST_S
        self.motion = self.motion.after_hit(
            region,
            now_s,
            first=self.sightings.hits == 1,
            alone=alone,
            located=located,
            measured=measured,
            lost=lost,
            max_jump=max_jump,
        )
        self.sightings = self.sightings.after_hit(region, moving=moving)
        if alone and self.motion.at_rest and not region.ghost:
            self.appearance = self.appearance.with_tone(region.tone)

    def count_look(self, now_s: float, rate: float) -> None:
        """Count a look, after the track was updated in it or not; `rate` is its weight in `Sightings.presence`."""
        self.sightings = self.sightings.after_look(seen=self.last_s == now_s, rate=rate)

    def forget_flight(self) -> None:
        """What it was before it got here was another thing: an insect, say, that flew past a clock's digits."""
        self.motion = replace(self.motion, travelled=0.0, travel_from=self.motion.box.centre)
        self.sightings = replace(self.sightings, motion_looks=0)

    def confirm(self) -> None:
        """It is a bird."""
        self.identity = replace(self.identity, confirmed=True)

    def count_present(self, birds: int) -> None:
        """Take how many birds are present at once."""
        if birds > self.identity.count_max:
            self.identity = replace(self.identity, count_max=birds)

    def merge_with(self, others: set[int]) -> None:
        """It shares a region with these tracks: what is seen of it from now on may be one of them."""
        self.appearance = self.appearance.settled()
        if not others <= self.identity.merged_with:
            self.identity = replace(self.identity, merged_with=self.identity.merged_with | others)

    def separate_from(self, other: Track) -> None:
        """It is certain that it is not the other one, with which it was merged."""
        self.identity = replace(self.identity, merged_with=self.identity.merged_with - {other.number})

    def take_over(self, other: Track) -> None:
        """Continue as another track, which has turned out to be this bird; only its identity stays."""
        self.motion = other.motion
        self.sightings = self.sightings.continued_by(other.sightings)
        self.appearance = self.appearance.continued_by(other.appearance)

    def swap_identity(self, other: Track) -> None:
        """Fix an id switch: each of the two tracks had followed the other's bird."""
        self.identity, other.identity = other.identity.separated(), self.identity.separated()
        mine, theirs = self.appearance, other.appearance
        self.appearance = replace(mine, known_tone=theirs.known_tone)
        other.appearance = replace(theirs, known_tone=mine.known_tone)


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
        departures: what was part of the background and is not there any more.
    """

    open: tuple[Track, ...]
    seen: tuple[Track, ...]
    closed: tuple[Track, ...]
    absorb: tuple[Box, ...]
    departures: tuple[Departure, ...] = ()
