"""Follow regions from look to look as tracks: one bird, one id, from its first picture to its last.

A track is predicted with a constant velocity and matched with the nearest region of like size. Where two birds become
one region, each is found in it by its own appearance, so that they are told apart again afterwards. A track becomes a
bird when it was seen often enough and shows life: it moves, or something in it does. What appears and never stirs (a
digit of a clock, a fallen leaf, the perch from which a bird has left) is furniture, and goes into the background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Box, Region

__all__ = ["Departure", "Eyes", "Step", "Track", "Tracker", "TrackerSettings"]

WELL_KNOWN = 12  # sightings before a bird's appearance is trusted to tell it from another
ROOM = 1.25  # of the larger bird: a region that long shows two
HOME = 0.5  # of its own size: who stays within this of a place stays in it
Patch = NDArray[np.uint8]


class Eyes(Protocol):
    """What the tracker needs to see of the present look (`birdwatchd.camera.gate`)."""

    def cut(self, box: Box) -> Patch:
        """The grid's cells in `box`, a copy."""

    def locate(self, patch: Patch, around: Box) -> tuple[Box, float]:
        """Where in `around` the look resembles `patch` most, and how much (correlation, -1 … 1)."""

    def resembles_background(self, patch: Patch, box: Box) -> float:
        """How much the empty background around `box` resembles `patch` (correlation, -1 … 1)."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Every number the tracker decides by.

    Attributes:
        believe_hits, believe_s: sightings and seconds before a track counts as a bird; noise rarely lasts so long.
        believe_share: share of the looks since its first sighting in which it was seen.
        travel: how far, in its own sizes, a track must get from where it began to count as moving.
        stir: share of a region's cells that must change between looks to count as stirring.
        stirs: looks with stirring that prove life in a place.
        lifeless_s: a track that shows no life for so long is furniture.
        steady: mean error of its predicted place, in its own sizes, that a credible track may have.
        newness: mean newness of its sightings (0 … 1, see `Region`) that a credible track has.
        doubt: how much more newness each track that is no bird asks of the others.
        trust: how much less newness is asked of what came from elsewhere and has stayed for `arrived_s`.
        calm: how many tracks that are no birds there may be at once, in the mean, before only what settles is
            believed: rain, snow and swarms of insects never sit still.
        clutter: how many make it bad weather, with all the caution there is.
        clutter_s: time constant of that mean.
        settled_s: how long a bird must sit in its place then.
        stays_s, plainly_new: how long it must sit, and how new it must be, if it was not seen to come.
        presence: share of the looks (mean of `presence_s`) in which a bird must be seen in bad weather.
        jump: a sighting further than this from where it was expected, in its own sizes, proves no movement.
        gone_s: seconds unseen after which a visit is over; shorter would cut visits at every wing beat.
        reach: how far a bird may be from where it was expected, in its own sizes.
        first_reach: the same for a track seen once, whose speed is not known.
        flight_s: a bird that appears so soon after another vanished nearby is that one in flight.
        lost_reach: how far, in frame widths, an unseen track may reappear (landing after a fast approach).
        alike: areas of two sightings of one track differ by at most this factor (wings open and close).
        piece_share: a region that touches a bird and has less than this share of its area is a piece of it.
        speck_share: below this share it may even be some way off (the white tip of a tail too dark to be seen).
        same_look: correlation of appearance from which a bird is taken to be where it was.
        hidden_s: how long a bird may be lost behind another before it is given up.
        crowded: a region larger than a bird by this factor may hold another one.
        found: correlation of appearance from which a bird is found in a crowd.
        guest_hits: sightings before a track is looked for inside another's region.
        still_s: a track that has not moved for this long is checked for being a ghost.
        hold_s: something that stands still longer than this is furniture, not a bird.
    """

    believe_hits: int = 4
    believe_s: float = 0.19
    believe_share: float = 0.6
    travel: float = 0.6
    stir: float = 0.12
    stirs: int = 3
    lifeless_s: float = 2.5
    steady: float = 0.8
    newness: float = 0.55
    doubt: float = 0.07
    trust: float = 0.1
    arrived_s: float = 1.5
    calm: float = 0.5
    clutter: float = 1.5
    clutter_s: float = 2.0
    settled_s: float = 0.5
    stays_s: float = 1.4
    plainly_new: float = 0.8
    presence: float = 0.4
    presence_s: float = 2.0
    jump: float = 0.8
    gone_s: float = 1.2
    reach: float = 1.1
    first_reach: float = 3.0
    flight_s: float = 0.5
    lost_reach: float = 0.3
    alike: float = 4.0
    piece_share: float = 0.35
    speck_share: float = 0.12
    same_look: float = 0.8
    hidden_s: float = 2.5
    guest_hits: int = 3
    found: float = 0.6
    crowded: float = 1.4
    still_s: float = 1.5
    hold_s: float = 900.0


@dataclass(slots=True)
class Track:
    """A bird being followed. Times are seconds on the frames' clock.

    Attributes:
        region: the last sighting.
        count_max: most birds believed in at once while this one was there.
        presence: share of the recent looks in which it was seen.
        home, home_at: the place it stays in, and since when.
        born_box: where it was seen first; `first_box`: from where its travel counts.
        seen_alone_at: when it was last a region of its own.
        apart_at: when it was last told apart from the birds around it.
        newness: mean newness of its sightings (see `Region`).
        error: running mean of the distance between where it was expected and where it was, in its own sizes.
    """

    number: int
    region: Region
    first_at: float
    last_at: float
    hits: int = 1
    looks: int = 1
    velocity: tuple[float, float] = (0.0, 0.0)
    believed: bool = False
    count_max: int = 1
    size: tuple[float, float] = field(init=False)
    born_box: Box = field(init=False)
    first_box: Box = field(init=False)
    still_box: Box = field(init=False)
    still_at: float = field(init=False)
    home: tuple[float, float] = field(init=False)
    home_at: float = field(init=False)
    seen_alone_at: float = field(init=False)
    ghost_looks: int = 0
    stirred: int = 0
    travelled: float = 0.0
    error: float = 0.0
    newness: float = field(init=False)
    presence: float = 1.0
    apart_at: float = field(init=False)
    alone_centre: tuple[float, float] = field(init=False)
    over: bool = False
    patch: Patch | None = None

    def __post_init__(self) -> None:
        self.born_box = self.first_box = self.still_box = self.region.box
        self.still_at = self.home_at = self.seen_alone_at = self.apart_at = self.first_at
        self.home = self.alone_centre = self.region.box.centre
        self.size = (self.region.box.w, self.region.box.h)
        self.newness = self.region.newness

    @property
    def box(self) -> Box:
        """Where it was last seen."""
        return self.region.box

    @property
    def speed(self) -> float:
        """Frame widths (or heights) per second."""
        return math.hypot(*self.velocity)

    def predicted(self, at: float) -> Box:
        """Where it should be; trust in the speed fades within half a second."""
        ahead = min(at - self.last_at, 0.4)
        x, y = self.box.centre
        x, y = x + self.velocity[0] * ahead, y + self.velocity[1] * ahead
        return Box(x - self.box.w / 2, y - self.box.h / 2, self.box.w, self.box.h)

    def sight(self, region: Region, at: float, *, alone: bool = True, jump: float = 1e9) -> None:
        """It was seen again.

        Args:
            alone: the region is this bird's only.
            jump: how far from the expected place, in its own sizes, it must be to be perhaps another thing.
        """
        step = max(at - self.last_at, 1e-3)
        (x0, y0), (x1, y1) = self.box.centre, region.box.centre
        expected = self.predicted(at).centre
        size = max(*self.size, 1e-3)
        miss = math.hypot(x1 - expected[0], y1 - expected[1]) / size
        known = self.hits > 1  # before, there is no velocity to expect anything by
        self.error = 0.7 * self.error + 0.3 * miss if known else 0.0
        new = 0.6 if known else 1.0
        if alone:
            self.velocity = (
                (1 - new) * self.velocity[0] + new * (x1 - x0) / step,
                (1 - new) * self.velocity[1] + new * (y1 - y0) / step,
            )
        else:  # its place is a guess: what is known of its speed fades
            fade = math.exp(-step / 0.5)
            self.velocity = (fade * self.velocity[0], fade * self.velocity[1])
        if self.still_box.iou(region.box) < 0.6:
            self.still_box, self.still_at = region.box, at
        if math.hypot(x1 - self.home[0], y1 - self.home[1]) > HOME * size:
            self.home, self.home_at = (x1, y1), at
        self.ghost_looks = self.ghost_looks + 1 if region.ghost else 0
        if miss > jump:  # perhaps something else altogether: what it travelled counts from here
            self.first_box = region.box
        first = self.first_box.centre
        self.travelled = max(self.travelled, math.hypot(x1 - first[0], y1 - first[1]) / size)
        if alone:
            self.seen_alone_at = self.apart_at = at
            self.alone_centre = (x1, y1)
            self.size = (0.8 * self.size[0] + 0.2 * region.box.w, 0.8 * self.size[1] + 0.2 * region.box.h)
        self.region, self.last_at = region, at
        self.hits += 1
        self.newness += (region.newness - self.newness) / min(self.hits, 12)


    def go_on_as(self, other: Track) -> None:
        """The other track is this bird's further way."""
        self.region, self.last_at, self.velocity, self.size = other.region, other.last_at, other.velocity, other.size
        self.still_box, self.still_at, self.home, self.home_at = (
            other.still_box,
            other.still_at,
            other.home,
            other.home_at,
        )
        self.seen_alone_at, self.apart_at, self.alone_centre = other.seen_alone_at, other.apart_at, other.alone_centre
        self.patch, self.error, self.presence, self.ghost_looks = other.patch, other.error, other.presence, 0
        self.hits += other.hits


@dataclass(frozen=True, slots=True)
class Departure:
    """Something that had been there since the picture began, or changed, has left `box` at `at`.

    Attributes:
        number: of the believed track that it was, None if it had not stirred before.
    """

    box: Box
    at: float
    number: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """What a look changed.

    Attributes:
        open: believed tracks seen or still waited for.
        seen: those of them that this look saw.
        closed: believed tracks that are over.
        absorb: boxes that the gate should take as background (ghosts, furniture).
        left: what was part of the background and is not there any more.
    """

    open: tuple[Track, ...]
    seen: tuple[Track, ...]
    closed: tuple[Track, ...]
    absorb: tuple[Box, ...]
    left: tuple[Departure, ...] = ()


class Tracker:
    """All tracks of one camera."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._tracks: list[Track] = []
        self._numbers = 0
        self._clutter = 1.5 * settings.clutter  # what the weather is shows in the first seconds
        self._looked_at: float | None = None

    @property
    def held(self) -> tuple[Box, ...]:
        """Where the background must not learn: under every bird that is believed in."""
        return tuple(t.box for t in self._tracks if t.believed)

    @property
    def suspicious(self) -> bool:
        """Something is there that may become a bird."""
        return bool(self._tracks)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Every track, believed or not (for people who tune)."""
        return tuple(self._tracks)

    def update(self, regions: Sequence[Region], at: float, eyes: Eyes | None = None) -> Step:
        """Take the regions of one look at time `at`.

        Args:
            eyes: shows the look itself; without them birds that merge are told apart by their movement alone.
        """
        step = min(at - self._looked_at, 1.0) if self._looked_at is not None else 0.0
        self._looked_at = at
        for track in self._tracks:
            track.looks += 1
        regions = self._split_crowded(regions, at, eyes)
        owners = self._match(regions, at, eyes)
        loose = [i for i in range(len(regions)) if i not in owners]
        self._sight_owners(regions, owners, at, eyes)
        loose = self._give_pieces(regions, loose, at)
        for index in loose:
            self._numbers += 1
            self._tracks.append(Track(self._numbers, regions[index], at, at))
        self._find_hidden(at, eyes)
        self._count_clutter(at, step)
        absorb, left = self._drop_lifeless(at)
        return self._step(at, tuple(absorb), tuple(left))

    def close_quiet(self, at: float) -> Step:
        """Let time pass without a picture: close what was not seen for `gone_s`."""
        return self._step(at, (), ())

    def close_all(self, at: float) -> Step:
        """The end: every believed track is over."""
        del at
        closed = tuple(t for t in self._tracks if t.believed)
        self._tracks.clear()
        return Step((), (), closed, ())

    # -- matching ---------------------------------------------------------------------------------------------------

    def _match(self, regions: Sequence[Region], at: float, eyes: Eyes | None) -> dict[int, Track]:
        """Pair regions with tracks, cheapest first; a region has one owner at most."""
        pairs = []
        for track in self._tracks:
            for index, region in enumerate(regions):
                cost = self._cost(track, region, at)
                if cost is None:
                    continue
                crowded = track.seen_alone_at < track.last_at
                if crowded and eyes is not None and track.patch is not None:  # it comes out of a crowd: who is it?
                    cost += 1.0 - eyes.locate(track.patch, region.box)[1]
                pairs.append((cost, track.number, index, track))
        owners: dict[int, Track] = {}
        taken: set[int] = set()
        for _, number, index, track in sorted(pairs, key=lambda p: p[:3]):
            if index not in owners and number not in taken:
                owners[index] = track
                taken.add(number)
        return owners

    def _split_crowded(self, regions: Sequence[Region], at: float, eyes: Eyes | None) -> list[Region]:
        """Cut a region in two where a bird is found unchanged in a part of it: another one has come to it."""
        result = list(regions)
        if eyes is None or self._clutter > self.settings.clutter:
            return result
        for bird in self._tracks:
            if not bird.believed or bird.patch is None or at - bird.seen_alone_at > self.settings.gone_s:
                continue
            for index, region in enumerate(result):
                if region.box.area < self.settings.crowded * bird.size[0] * bird.size[1]:
                    continue
                if _share(bird.box, region.box) < 0.6 or self._others_in(bird, region, at):
                    continue
                place, likeness = eyes.locate(bird.patch, region.box)
                rest = _rest_of(region.box, place)
                if likeness > self.settings.same_look and min(rest.w / bird.size[0], rest.h / bird.size[1]) > 0.4:
                    result[index] = replace(region, box=place)
                    result.append(replace(region, box=rest))
                    break
        return result

    def _others_in(self, bird: Track, region: Region, at: float) -> bool:
        return any(other is not bird and self._is_guest(other, region, at) for other in self._tracks)

    def _cost(self, track: Track, region: Region, at: float) -> float | None:
        """Distance in bird sizes, lower for overlap and for proven birds; None where it cannot be the same bird."""
        s = self.settings
        expected = track.predicted(at)
        overlap = max(track.box.iou(region.box), expected.iou(region.box))
        (px, py), (x, y), (ox, oy) = expected.centre, region.box.centre, track.box.centre
        distance = min(math.hypot(x - px, y - py), math.hypot(x - ox, y - oy))
        size = max(track.box.w, track.box.h, region.box.w, region.box.h, 1e-3)
        unlike = abs(math.log(max(region.box.area, 1e-9) / max(track.size[0] * track.size[1], 1e-9)))
        unseen = at - track.last_at
        crowded = track.seen_alone_at < track.last_at  # nothing tells its speed, and it may take off
        reach = (s.first_reach if track.hits == 1 or crowded else s.reach) * size + 0.5 * track.speed * min(unseen, 0.5)
        if track.believed and unseen > 0.15 and not region.ghost and self._clutter < s.clutter:
            reach = max(reach, s.lost_reach * min(1.0, unseen / 0.4))
        alike = s.alike if self._clutter < s.clutter else s.alike / 2
        if overlap < 0.05 and (distance > reach or unlike > math.log(alike)):
            return None
        return distance / size - overlap + 0.15 * unlike - (0.3 if track.believed else 0.0)

    def _sight_owners(
        self, regions: Sequence[Region], owners: dict[int, Track], at: float, eyes: Eyes | None
    ) -> None:
        """Let every owner see its region; where birds share one, find each of them in it."""
        matched = {track.number for track in owners.values()}
        for index, owner in owners.items():
            region = regions[index]
            guests = [t for t in self._tracks if t.number not in matched and self._is_guest(t, region, at)]
            if guests and (owner.believed or owner.hits >= self.settings.guest_hits):
                self._sight_together([owner, *guests], region, at, eyes)
                matched |= {guest.number for guest in guests}
            else:
                alone = not any(
                    t is not owner and t.believed and _touch(t.box, region.box, 0.05) and at - t.last_at < 0.5
                    for t in self._tracks
                )
                owner.sight(region, at, alone=alone, jump=1e9 if owner.believed else self.settings.jump)
                owner.stirred += region.activity >= self.settings.stir
                if eyes is not None and alone and not region.ghost:
                    owner.patch = eyes.cut(region.box)

    def _is_guest(self, track: Track, region: Region, at: float) -> bool:
        """Whether a track that has no region of its own is in this one."""
        calm = self._clutter < self.settings.clutter
        known = track.believed or (calm and track.hits >= self.settings.guest_hits)
        return known and max(_share(track.box, region.box), _share(track.predicted(at), region.box)) > 0.3

    def _sight_together(self, birds: Sequence[Track], region: Region, at: float, eyes: Eyes | None) -> None:
        """Several birds in one region: side by side where there is room, else all where they were going."""
        roomy = _side_by_side(birds, region.box, at)
        if roomy is not None and len(birds) == 2 and eyes is not None:
            roomy = _by_appearance(birds, region.box, roomy, eyes)
        nowhere: list[Box | None] = [None] * len(birds)
        for bird, place in zip(birds, roomy or nowhere, strict=True):
            here = place or self._found_again(bird, region.box, at, eyes)
            if here is not None:
                bird.apart_at = at
            elif at - bird.apart_at < self.settings.hidden_s or bird is birds[0]:
                here = _kept_inside(bird.predicted(at), region.box)
            if here is not None:
                bird.sight(replace(region, box=here), at, alone=False)
                bird.stirred += region.activity >= self.settings.stir

    def _found_again(self, bird: Track, whole: Box, at: float, eyes: Eyes | None) -> Box | None:
        """Where in a crowded region a bird looks like itself."""
        if eyes is None or bird.patch is None:
            return None
        place, likeness = eyes.locate(bird.patch, whole.union(_kept_inside(bird.predicted(at), whole)))
        return place if likeness > self.settings.found else None

    def _give_pieces(self, regions: Sequence[Region], loose: Sequence[int], at: float) -> list[int]:
        """Give what no track owns to the bird it is a piece of (a wing, the tip of a tail); returns what is left."""
        s = self.settings
        rest = []
        for index in loose:
            region = regions[index]
            for bird in self._tracks:
                if bird.last_at != at or not (bird.believed or bird.hits > self.settings.guest_hits):
                    continue
                share = region.box.area / max(bird.box.area, bird.size[0] * bird.size[1], 1e-9)
                near = _touch(bird.box, region.box, 0.7 if share < s.speck_share else 0.25)
                if share < s.piece_share and near:
                    joint = bird.box.union(region.box)
                    if joint.area < 1.6 * max(bird.box.area, bird.size[0] * bird.size[1]):
                        bird.region = replace(bird.region, box=joint)
                    break
            else:
                rest.append(index)
        return rest

    def _find_hidden(self, at: float, eyes: Eyes | None) -> None:
        """Hold birds that no region shows, as long as they are still to be seen where they sat."""
        if eyes is None:
            return
        for bird in self._tracks:
            if not bird.believed or bird.last_at == at or bird.patch is None:
                continue
            margin_x, margin_y = 0.2 * bird.box.w, 0.2 * bird.box.h
            around = Box(
                bird.box.x - margin_x, bird.box.y - margin_y, bird.box.w + 2 * margin_x, bird.box.h + 2 * margin_y
            )
            place, likeness = eyes.locate(bird.patch, around)
            empty = eyes.resembles_background(bird.patch, bird.box)
            if likeness > self.settings.same_look and likeness > empty + 0.15:
                bird.sight(replace(bird.region, box=place, ghost=False), at, alone=False)

    # -- belief and ends --------------------------------------------------------------------------------------------

    def _count_clutter(self, at: float, step_s: float) -> None:
        """How many things there are at once that are no birds so far; and how constantly each bird is seen."""
        doubtful = sum(1 for track in self._tracks if not track.believed)
        self._clutter += (1 - math.exp(-step_s / self.settings.clutter_s)) * (doubtful - self._clutter)
        for track in self._tracks:
            seen = 1.0 if track.last_at == at else 0.0
            track.presence += (1 - math.exp(-step_s / self.settings.presence_s)) * (seen - track.presence)

    def _drop_lifeless(self, at: float) -> tuple[list[Box], list[Departure]]:
        """Take furniture and ghosts out of the tracks; the gate learns them as background."""
        s = self.settings
        absorb: list[Box] = []
        left: list[Departure] = []
        for track in list(self._tracks):
            still = at - track.still_at
            ghost = track.ghost_looks >= 3 and (still >= s.still_s or (not track.believed and still > 0.4))
            lifeless = (
                not track.believed
                and at - track.first_at > s.lifeless_s
                and track.last_at == at
                and not self._lives(track)
                and not any(bird.believed and _touch(bird.box, track.box, 0.1) for bird in self._tracks)
            )
            if track.believed and self._clutter > s.clutter and track.presence < s.presence:
                track.over = True
            if not (ghost or lifeless or still > s.hold_s):
                continue
            absorb.append(track.box)
            if ghost:
                left.append(Departure(track.box, track.still_at, track.number if track.believed else None))
                track.last_at = min(track.last_at, track.still_at)
            track.over = True
            if not track.believed:
                self._tracks.remove(track)
        return absorb, left

    def _step(self, at: float, absorb: tuple[Box, ...], left: tuple[Departure, ...]) -> Step:
        s = self.settings
        closed = []
        for track in list(self._tracks):
            if not track.believed and self._credible(track, at):
                self._believe(track)
        for track in list(self._tracks):
            patience = s.gone_s if track.believed else 0.4 * s.gone_s
            if track.over or at - track.last_at > patience:
                self._tracks.remove(track)
                if track.believed:
                    closed.append(track)
        believed = tuple(t for t in self._tracks if t.believed)
        present = sum(1 for t in believed if at - t.last_at < 0.3)
        for track in believed:
            track.count_max = max(track.count_max, present)
        seen = tuple(t for t in believed if t.last_at == at)
        return Step(believed, seen, tuple(closed), absorb, left)

    def _believe(self, track: Track) -> None:
        """It is a bird; perhaps one that vanished from where it sat as this one appeared: it took off, or landed."""
        track.believed = True
        for bird in self._tracks:
            since = track.first_at - bird.last_at
            if bird is track or not bird.believed or not 0 < since < self.settings.flight_s or bird.over:
                continue
            (x0, y0), (x1, y1) = bird.box.centre, track.born_box.centre
            size = max(*bird.size, *track.size)
            reach = self.settings.first_reach * size + self.settings.lost_reach * min(1.0, since / 0.4)
            unlike = abs(math.log(track.size[0] * track.size[1] / (bird.size[0] * bird.size[1])))
            passes_edge = _at_edge(bird.box) or _at_edge(track.born_box)  # one left, another came
            if not passes_edge and math.hypot(x1 - x0, y1 - y0) < reach and unlike < math.log(self.settings.alike):
                bird.go_on_as(track)
                self._tracks.remove(track)
                return

    def _credible(self, track: Track, at: float) -> bool:
        s = self.settings
        others = self._clutter_besides(track, at)
        settled = at - track.home_at >= s.settled_s * min(1.0, others / s.clutter)
        return (
            track.hits >= s.believe_hits
            and track.last_at - track.first_at >= s.believe_s
            and track.hits >= s.believe_share * track.looks
            and track.last_at == at
            and track.error < s.steady
            and track.newness > self._asked_newness(track, at, others)
            and not track.region.ghost
            and (others < s.calm or settled)
            and (self._lives(track) if others < s.clutter else self._lives_in_storm(track, at))
        )

    def _clutter_besides(self, track: Track, at: float) -> float:
        """How many other things there are that are no birds, in the mean: this one was counted since it began."""
        own = 1.0 - math.exp(-(at - track.first_at) / self.settings.clutter_s)
        return max(0.0, self._clutter - own)

    def _lives_in_storm(self, track: Track, at: float) -> bool:
        """In wind everything stirs: a bird came from elsewhere, or it stays and is seen all the while."""
        s = self.settings
        constant = min(track.presence, track.hits / track.looks) > 2 * s.presence
        stays = constant and at - track.home_at > s.stays_s
        return track.travelled >= 1.0 or (stays and track.stirred > s.stirs and track.newness > s.plainly_new)

    def _asked_newness(self, track: Track, at: float, others: float) -> float:
        """Less of what came from elsewhere, stayed and stirs: a dull bird in the dusk hardly differs from its place."""
        s = self.settings
        arrived = track.travelled >= 1.0 and track.stirred >= 2 * s.stirs and at - track.home_at >= s.arrived_s
        return s.newness - s.trust if arrived else s.newness + s.doubt * min(others, s.clutter)

    def _lives(self, track: Track) -> bool:
        return track.travelled >= self.settings.travel or track.stirred >= self.settings.stirs


def _at_edge(box: Box, margin: float = 0.01) -> bool:
    return box.x < margin or box.y < margin or box.x + box.w > 1 - margin or box.y + box.h > 1 - margin


def _share(box: Box, other: Box) -> float:
    """Share of a box that lies in another."""
    w = min(box.x + box.w, other.x + other.w) - max(box.x, other.x)
    h = min(box.y + box.h, other.y + other.h) - max(box.y, other.y)
    return w * h / max(box.area, 1e-9) if w > 0 and h > 0 else 0.0


def _side_by_side(birds: Sequence[Track], whole: Box, at: float) -> list[Box] | None:
    """Lay birds of known size into the region they share, in the order they were in; None without room for two.

    The first one reaches to the region's one end and the last one to the other; who sits between keeps its place.
    """
    lying = whole.w * sum(b.size[1] for b in birds) >= whole.h * sum(b.size[0] for b in birds)
    axis = 0 if lying else 1
    begin, length = (whole.x, whole.w) if lying else (whole.y, whole.h)
    if length < ROOM * max(bird.size[axis] for bird in birds):
        return None
    order = sorted(birds, key=lambda bird: _on_its_way(bird, at)[axis])
    places = {}
    for rank, bird in enumerate(order):
        w, h = min(bird.size[0], whole.w), min(bird.size[1], whole.h)
        size = w if lying else h
        part = rank / (len(order) - 1)
        start = begin + part * (length - size)
        place = Box(start, bird.box.y, w, h) if lying else Box(bird.box.x, start, w, h)
        places[bird.number] = _kept_inside(place, whole)
    return [places[bird.number] for bird in birds]


def _on_its_way(bird: Track, at: float) -> tuple[float, float]:
    """Where a bird should be that went on as it was last seen alone; where it is if that is long ago."""
    since = at - bird.seen_alone_at
    if since > 0.6:
        return bird.box.centre
    return bird.alone_centre[0] + bird.velocity[0] * since, bird.alone_centre[1] + bird.velocity[1] * since


def _by_appearance(birds: Sequence[Track], whole: Box, places: list[Box], eyes: Eyes) -> list[Box]:
    """Exchange two birds' places where they look much more like it: they crossed while they were one region."""
    first, second = birds
    if first.patch is None or second.patch is None or min(first.hits, second.hits) < WELL_KNOWN:
        return places
    exchanged = [_kept_inside(Box(p.x, p.y, *b.size), whole) for p, b in zip(reversed(places), birds, strict=True)]

    def likeness(where: Sequence[Box]) -> float:
        return sum(eyes.locate(b.patch, place)[1] for b, place in zip(birds, where, strict=True) if b.patch is not None)

    return exchanged if likeness(exchanged) > likeness(places) + 0.3 else places


def _rest_of(whole: Box, part: Box) -> Box:
    """The largest strip of a box beside, above or below a part of it."""
    right, bottom = part.x + part.w, part.y + part.h
    strips = (
        Box(whole.x, whole.y, max(0.0, part.x - whole.x), whole.h),
        Box(right, whole.y, max(0.0, whole.x + whole.w - right), whole.h),
        Box(whole.x, whole.y, whole.w, max(0.0, part.y - whole.y)),
        Box(whole.x, bottom, whole.w, max(0.0, whole.y + whole.h - bottom)),
    )
    return max(strips, key=lambda strip: strip.area)


def _kept_inside(box: Box, whole: Box) -> Box:
    """The box moved to lie inside another where it fits."""
    x = min(max(box.x, whole.x), max(whole.x, whole.x + whole.w - box.w))
    y = min(max(box.y, whole.y), max(whole.y, whole.y + whole.h - box.h))
    return Box(x, y, box.w, box.h)


def _touch(a: Box, b: Box, grow: float) -> bool:
    """Whether two boxes overlap when each is grown by this share of the larger one."""
    gx, gy = grow * max(a.w, b.w), grow * max(a.h, b.h)
    return a.x - gx < b.x + b.w and b.x - gx < a.x + a.w and a.y - gy < b.y + b.h and b.y - gy < a.y + a.h
