"""Follow regions from frame to frame as tracks: one bird, one id, from its first picture to its last.

Plain nearest-first matching with a predicted position, because a feeder camera sees few birds at a time. A track is
believed after a few sightings; a bird that stops moving keeps its track because the gate does not learn under it; a
track that is not seen for `gone_s` is closed for good. The ghost of a bird that left never starts a track.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from birdwatchd.records import Box, Region

__all__ = ["Track", "Tracker", "TrackerSettings"]


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Every number the tracker decides by.

    Attributes:
        believe_hits, believe_s: sightings and seconds before a track counts as a bird; noise rarely lasts so long.
        believe_share: share of the looks since its first sighting in which it was seen.
        gone_s: seconds unseen after which a visit is over; shorter would cut visits at every wing beat.
        reach: how far a bird may move between looks, in its own sizes, beyond what its speed predicts.
        lost_reach: how far, in frame widths, an unseen track may reappear (landing after a fast approach).
        piece_share: a region that touches a bird and has less than this share of its area is a piece of it.
        speck_share: below this share it may even be some way off (the white tip of a tail too dark to be seen).
        still_s: a track that has not moved for this long is checked for being a ghost.
        hold_s: something that stands still longer than this is furniture, not a bird.
    """

    believe_hits: int = 4
    believe_s: float = 0.3
    believe_share: float = 0.6
    gone_s: float = 1.2
    reach: float = 1.2
    lost_reach: float = 0.3
    piece_share: float = 0.35
    speck_share: float = 0.12
    still_s: float = 1.5
    hold_s: float = 900.0


@dataclass(slots=True)
class Track:
    """A bird being followed. Times are seconds on the frames' clock.

    Attributes:
        region: the last sighting.
        count_max: most birds believed in at once while this one was there.
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
    still_box: Box = field(init=False)
    still_at: float = field(init=False)
    ghost_looks: int = 0

    def __post_init__(self) -> None:
        self.still_box, self.still_at = self.region.box, self.first_at

    @property
    def box(self) -> Box:
        """Where it was last seen."""
        return self.region.box

    @property
    def speed(self) -> float:
        """Frame widths (or heights) per second."""
        return math.hypot(*self.velocity)

    def predicted(self, at: float) -> tuple[float, float]:
        """Where its centre should be; trust in the speed fades within half a second."""
        ahead = min(at - self.last_at, 0.5)
        x, y = self.box.centre
        return x + self.velocity[0] * ahead, y + self.velocity[1] * ahead

    def sight(self, region: Region, at: float) -> None:
        """It was seen again."""
        step = max(at - self.last_at, 1e-3)
        (x0, y0), (x1, y1) = self.box.centre, region.box.centre
        self.velocity = (
            0.5 * self.velocity[0] + 0.5 * (x1 - x0) / step,
            0.5 * self.velocity[1] + 0.5 * (y1 - y0) / step,
        )
        if self.still_box.iou(region.box) < 0.6:
            self.still_box, self.still_at = region.box, at
        self.ghost_looks = self.ghost_looks + 1 if region.ghost else 0
        self.region, self.last_at = region, at
        self.hits += 1


@dataclass(frozen=True, slots=True)
class Step:
    """What a look changed.

    Attributes:
        open: believed tracks seen or still waited for.
        seen: those of them that this look saw.
        closed: believed tracks that are over.
        absorb: boxes that the gate should take as background (ghosts, furniture).
    """

    open: tuple[Track, ...]
    seen: tuple[Track, ...]
    closed: tuple[Track, ...]
    absorb: tuple[Box, ...]


class Tracker:
    """All tracks of one camera."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._tracks: list[Track] = []
        self._numbers = 0

    @property
    def held(self) -> tuple[Box, ...]:
        """Where the background must not learn: under every bird that is believed in."""
        return tuple(t.box for t in self._tracks if t.believed)

    def update(self, regions: Sequence[Region], at: float) -> Step:
        """Take the regions of one look at time `at`."""
        absorb: list[Box] = []
        matches = self._match(regions, at)
        for track in self._tracks:
            track.looks += 1
        for index, region in enumerate(regions):
            match = matches.get(index)
            if match is not None:
                if match.last_at != at:
                    match.sight(region, at)
                else:  # another piece of a bird already seen in this look
                    fill = max(match.region.fill, region.fill)
                    match.region = Region(match.box.union(region.box), fill, match.region.contrast)
            elif region.ghost:
                absorb.append(region.box)
            else:
                self._numbers += 1
                self._tracks.append(Track(self._numbers, region, at, at))
        absorb += self._drop_ghosts(at)
        return self._step(at, tuple(absorb))

    def close_quiet(self, at: float) -> Step:
        """Let time pass without a picture: close what was not seen for `gone_s`."""
        return self._step(at, ())

    def close_all(self, at: float) -> Step:
        """The end: every believed track is over."""
        del at
        closed = tuple(t for t in self._tracks if t.believed)
        self._tracks.clear()
        return Step((), (), closed, ())

    # -- matching ---------------------------------------------------------------------------------------------------

    def _match(self, regions: Sequence[Region], at: float) -> dict[int, Track]:
        """Pair regions with tracks, cheapest first; then give pieces (a tail tip, a wing) to the bird they touch."""
        s = self.settings
        pairs = []
        for track in self._tracks:
            for index, region in enumerate(regions):
                cost = self._cost(track, region, at)
                if cost is not None:
                    pairs.append((cost, track.number, index, track))
        result: dict[int, Track] = {}
        taken: set[int] = set()
        for _, number, index, track in sorted(pairs, key=lambda p: p[:3]):
            if index not in result and number not in taken:
                result[index] = track
                taken.add(number)
        birds = [(t, regions[index].box) for index, t in result.items() if t.believed]
        for index, region in enumerate(regions):
            match = result.get(index)
            if match is not None and match.believed:
                continue
            for bird, box in birds:
                share = region.box.area / max(box.area, 1e-9)
                near = _touch(box, region.box, 0.7 if share < s.speck_share else 0.25)
                if near and (match is None or share < s.piece_share):
                    result[index] = bird
                    if match is not None:
                        self._tracks.remove(match)
                    break
        return result

    def _cost(self, track: Track, region: Region, at: float) -> float | None:
        """Distance in bird sizes, lower for overlap and for proven birds; None where it cannot be the same bird."""
        s = self.settings
        overlap = track.box.iou(region.box)
        px, py = track.predicted(at)
        x, y = region.box.centre
        distance = min(math.hypot(x - px, y - py), math.hypot(x - track.box.centre[0], y - track.box.centre[1]))
        size = max(track.box.w, track.box.h, region.box.w, region.box.h, 1e-3)
        unseen = at - track.last_at
        reach = s.reach * size + track.speed * min(unseen, 0.5)
        if unseen > 0.15 and not region.ghost:
            reach = max(reach, s.lost_reach * min(1.0, unseen / 0.4))
        if overlap < 0.05 and distance > reach:
            return None
        return distance / size - overlap - (0.3 if track.believed else 0.0)

    # -- belief and ends --------------------------------------------------------------------------------------------

    def _drop_ghosts(self, at: float) -> list[Box]:
        s = self.settings
        gone: list[Box] = []
        for track in list(self._tracks):
            still = at - track.still_at
            ghost = track.ghost_looks >= 3 and (still >= s.still_s or not track.believed)
            if ghost or still > s.hold_s:
                gone.append(track.box)
                if track.believed and ghost:
                    track.last_at = min(track.last_at, track.still_at)
                    track.hits = -1  # closed by _step
                elif track.believed:
                    track.hits = -1
                else:
                    self._tracks.remove(track)
        return gone

    def _step(self, at: float, absorb: tuple[Box, ...]) -> Step:
        s = self.settings
        closed = []
        for track in list(self._tracks):
            if not track.believed and self._credible(track, at):
                track.believed = True
            unseen = at - track.last_at
            patience = s.gone_s if track.believed else 0.4 * s.gone_s
            if track.hits < 0 or unseen > patience:
                self._tracks.remove(track)
                if track.believed:
                    closed.append(track)
        believed = tuple(t for t in self._tracks if t.believed)
        present = sum(1 for t in believed if at - t.last_at < 0.3)
        for track in believed:
            track.count_max = max(track.count_max, present)
        seen = tuple(t for t in believed if t.last_at == at)
        return Step(believed, seen, tuple(closed), absorb)

    def _credible(self, track: Track, at: float) -> bool:
        s = self.settings
        return (
            track.hits >= s.believe_hits
            and track.last_at - track.first_at >= s.believe_s
            and track.hits >= s.believe_share * track.looks
            and track.last_at == at
        )


def _touch(a: Box, b: Box, grow: float) -> bool:
    """Whether two boxes overlap when each is grown by this share of the larger one."""
    gx, gy = grow * max(a.w, b.w), grow * max(a.h, b.h)
    return a.x - gx < b.x + b.w and b.x - gx < a.x + a.w and a.y - gy < b.y + b.h and b.y - gy < a.y + a.h
