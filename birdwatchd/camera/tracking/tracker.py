"""Track birds from look to look: one bird, one id, from its first sighting to its last.

The motion gate knows only regions of one frame; a visit needs to know which of them are the same bird. Tracks are
predicted with constant velocity and matched, cheapest first, with near regions of like size (as SORT, but greedily);
`occlusion.py` follows birds that share a region, `confirmation.py` decides which tracks are birds, `identity.py`
re-identifies them. What appears and never moves (a clock's digit, a fallen leaf, an empty perch) is a static object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from birdwatchd.camera.tracking.boxes import at_edge, share_inside, touch
from birdwatchd.camera.tracking.confirmation import Clutter, should_confirm, shows_motion
from birdwatchd.camera.tracking.identity import fix_id_switches, has_left, reidentify
from birdwatchd.camera.tracking.occlusion import (
    AppearanceView,
    absorb_fragments,
    contrast_jumped,
    find_occluded,
    is_merged_into,
    join_parts,
    landed_beside,
    split_merged,
    update_merged,
)
from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.camera.tracking.track import Departure, Step, Track
from birdwatchd.records import Box, Region

__all__ = ["AppearanceView", "Departure", "Step", "Track", "Tracker", "TrackerSettings"]

APART = math.sqrt(2)  # sizes of the larger box between two centres; boxes further apart do not overlap
COVERED = 0.6  # share of a merged bird's box that a region covers as long as the bird sits there


class Tracker:
    """All tracks of one camera."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._tracks: list[Track] = []
        self._numbers = 0
        self._clutter = Clutter(settings)
        self._last_look_s: float | None = None

    @property
    def held(self) -> tuple[Box, ...]:
        """Where the background must not learn: under every confirmed bird."""
        return tuple(t.box for t in self._tracks if t.confirmed)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Every track, confirmed or tentative (for people who tune)."""
        return tuple(self._tracks)

    @property
    def clutter(self) -> float:
        """How many tracks at once are not confirmed, a running mean."""
        return self._clutter.level

    def expect_clutter(self, level: float) -> None:
        """Take how many tracks are tentative at once where that is known before the first look."""
        self._clutter.level = level

    def update(self, regions: Sequence[Region], now_s: float, view: AppearanceView | None = None) -> Step:
        """Take the regions of one look.

        Args:
            now_s: time of the frame, seconds on a clock that does not run backwards.
            view: the pixels of this look; without it, merged birds are followed by their motion alone.
        """
        last_s = self._last_look_s if self._last_look_s is not None else now_s
        step_s = min(now_s - last_s, 1.0)
        self._last_look_s = now_s
        if view is not None and not self._clutter.high:
            regions = split_merged(self._tracks, regions, now_s, view, self.settings)
        owners = self._match(regions, now_s, view)
        unmatched = [i for i in range(len(regions)) if i not in owners]
        self._update_matched(regions, owners, now_s, view)
        for index in absorb_fragments(self._tracks, regions, unmatched, now_s, self.settings):
            self._numbers += 1
            self._tracks.append(Track(self._numbers, regions[index], now_s))
        if view is not None:
            find_occluded(self._tracks, now_s, view, self.settings)
        fix_id_switches(self._tracks, self.settings)
        self._clutter.update(self._tracks, step_s)
        rate = 1 - math.exp(-step_s / self.settings.presence_s)
        for track in self._tracks:
            track.count_look(now_s, rate)
        absorb, departures = self._drop_static(now_s)
        return self._step(now_s, tuple(absorb), tuple(departures))

    def close_unseen(self, now_s: float) -> Step:
        """Let time pass without a frame: close what was not seen for `gone_s`."""
        return self._step(now_s, (), ())

    def close_all(self) -> Step:
        """The end: every confirmed track is over."""
        closed = tuple(t for t in self._tracks if t.confirmed)
        self._tracks.clear()
        return Step((), (), closed, ())

    # -- matching ---------------------------------------------------------------------------------------------------

    def _match(self, regions: Sequence[Region], now_s: float, view: AppearanceView | None) -> dict[int, Track]:
        """Pair regions with tracks, cheapest first; returns the track by index of its region."""
        pairs = []
        for track in self._tracks if regions else ():
            for index, cost in self._costs(track, regions, now_s, view):
                pairs.append((cost, track.number, index, track))
        owners: dict[int, Track] = {}
        taken: set[int] = set()
        for _, number, index, track in sorted(pairs, key=lambda p: p[:3]):
            if index not in owners and number not in taken:
                owners[index] = track
                taken.add(number)
        return owners

    def _costs(
        self, track: Track, regions: Sequence[Region], now_s: float, view: AppearanceView | None
    ) -> Iterator[tuple[int, float]]:
        """Index and cost of each region that may show a track.

        The cost is the distance in bird sizes, lower for overlap and for confirmed birds; for a bird that was merged,
        higher for a region that does not look like it.
        """
        s, motion, confirmed = self.settings, track.motion, track.confirmed
        if confirmed and has_left(track, now_s, s):
            return
        box, expected, area = motion.box, motion.predicted(now_s), motion.area
        (ox, oy), (px, py) = box.centre, expected.centre
        was_merged = motion.alone_s < motion.last_s
        reach = self._reach(track, regions, now_s)
        braking = 0.5 * motion.speed * min(now_s - motion.last_s, 0.5)
        max_ratio = s.max_size_ratio if not self._clutter.high else s.max_size_ratio / 2
        for index, region in enumerate(regions):
            if contrast_jumped(track, region, s):
                continue
            here = region.box
            x, y = here.centre
            distance = min(math.hypot(x - px, y - py), math.hypot(x - ox, y - oy))
            size = max(box.w, box.h, here.w, here.h, 1e-3)
            if distance > max(reach, APART) * size + braking:
                continue
            overlap = max(box.iou(here), expected.iou(here))
            unlike = abs(math.log(max(here.area, 1e-9) / max(area, 1e-9)))
            if confirmed and here.area < area and at_edge(here, s.edge_margin):  # part of it may be outside
                unlike = 0.0
            if overlap < 0.05 and (distance > reach * size + braking or unlike > math.log(max_ratio)):
                continue
            cost = distance / size - overlap + 0.15 * unlike - (0.3 if confirmed else 0.0)
            if was_merged and view is not None:  # it leaves a merged region: which bird is it?
                cost += 1.0 - _best_correlation(track, here, view)
            yield index, cost

    def _reach(self, track: Track, regions: Sequence[Region], now_s: float) -> float:
        """How far a track may be from its prediction, in its own sizes; more where nothing tells its speed."""
        s, motion = self.settings, track.motion
        if track.sightings.hits == 1:
            return s.first_reach
        was_merged = motion.alone_s < motion.last_s
        takes_off = track.confirmed and motion.at_rest and now_s - motion.last_s < s.take_off_s
        if (was_merged or takes_off) and not any(share_inside(motion.box, r.box) > COVERED for r in regions):
            return s.first_reach
        return s.reach

    def _update_matched(
        self, regions: Sequence[Region], owners: dict[int, Track], now_s: float, view: AppearanceView | None
    ) -> None:
        """Update every owner from its region; where birds share one, locate each of them in it."""
        s = self.settings
        matched = {track.number for track in owners.values()}
        clear = not self._clutter.high
        for index, owner in owners.items():
            region = regions[index]
            others = [t for t in self._tracks if t.number not in matched]
            merged = [t for t in others if is_merged_into(t, region, now_s, s, clear=clear)]
            if clear and owner.confirmed:
                others = [t for t in others if t not in merged]
                merged += landed_beside(others, [owner, *merged], region, now_s, s)
            if merged and (owner.confirmed or owner.sightings.hits >= s.merge_hits):
                update_merged([owner, *merged], region, now_s, view, s)
                matched |= {bird.number for bird in merged}
            else:
                self._update_single(owner, region, now_s, view)

    def _update_single(self, owner: Track, region: Region, now_s: float, view: AppearanceView | None) -> None:
        """Update the one track of a region; beside another bird it may show a part of that one as well."""
        alone = not any(
            t is not owner and t.confirmed and touch(t.box, region.box, 0.05) and now_s - t.last_s < 0.5
            for t in self._tracks
        )
        moving = region.activity >= self.settings.motion_share
        max_jump = math.inf if owner.confirmed else self.settings.max_jump
        owner.update(region, now_s, moving=moving, alone=alone, max_jump=max_jump)
        if view is not None and alone and not region.ghost:
            owner.appearance = owner.appearance.with_template(view.cut(region.box))

    # -- confirmation and ends ---------------------------------------------------------------------------------------

    def _drop_static(self, now_s: float) -> tuple[list[Box], list[Departure]]:
        """Drop static objects and ghosts from the tracks; the gate takes them as background."""
        s = self.settings
        absorb: list[Box] = []
        departures: list[Departure] = []
        for track in list(self._tracks):
            still_s = now_s - track.motion.still_since_s
            ghost = track.sightings.ghost_hits >= 3 and (
                still_s >= s.still_s or (not track.confirmed and still_s > 0.4)
            )
            static = (
                not track.confirmed
                and now_s - track.first_s > s.static_s
                and track.last_s == now_s
                and not shows_motion(track, s)
                and not any(bird.confirmed and touch(bird.box, track.box, 0.1) for bird in self._tracks)
            )
            if track.confirmed and self._clutter.high and track.sightings.presence < s.min_presence:
                track.over = True
            remains = track.motion.lifeless and now_s - track.motion.broken_s > s.lifeless_s
            if remains and not track.confirmed:
                track.forget_flight()
                remains = False
            if not (ghost or static or remains or still_s > s.max_still_s):
                continue
            absorb.append(track.box)
            hits, looks = track.sightings.hits, track.sightings.looks
            if ghost and hits >= s.confirm_share * looks:  # a perch stays empty; what comes and goes sways
                number = track.number if track.confirmed else None
                departures.append(Departure(track.box, track.motion.still_since_s, number, track.first_s))
            track.over = True
            if not track.confirmed:
                self._tracks.remove(track)
        return absorb, departures

    def _step(self, now_s: float, absorb: tuple[Box, ...], departures: tuple[Departure, ...]) -> Step:
        s = self.settings
        closed = []
        parts = join_parts(self._tracks, now_s, s)
        for track in list(self._tracks):
            if track.confirmed or track.number in parts:
                continue
            if should_confirm(track, now_s, self._clutter, s):
                self._confirm(track, now_s)
        for track in list(self._tracks):
            patience_s = s.gone_s if track.confirmed else 0.4 * s.gone_s
            if track.over or now_s - track.last_s > patience_s:
                self._tracks.remove(track)
                if track.confirmed:
                    closed.append(track)
        confirmed = tuple(t for t in self._tracks if t.confirmed)
        present = sum(1 for t in confirmed if now_s - t.last_s < 0.3)
        for track in confirmed:
            track.count_present(present)
        seen = tuple(t for t in confirmed if t.last_s == now_s)
        return Step(confirmed, seen, tuple(closed), absorb, departures)

    def _confirm(self, track: Track, now_s: float) -> None:
        """It is a bird: another one, or one that vanished as this one appeared (it took off, or landed)."""
        verdicts: list[bool | None] = []
        for bird in self._tracks:
            if bird.confirmed and bird.last_s < track.first_s:
                verdicts.append(reidentify(bird, track, now_s, self.settings))
                if verdicts[-1]:
                    bird.take_over(track)
                    self._tracks.remove(track)
                    return
        if None not in verdicts:
            track.confirm()


def _best_correlation(track: Track, box: Box, view: AppearanceView) -> float:
    """How much a place looks like a track, -1 … 1; 1 where it is not known what the track looks like."""
    known = (track.appearance.template, track.appearance.last_template)
    return max((view.locate(template, box)[1] for template in known if template is not None), default=1.0)
