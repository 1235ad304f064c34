"""Decide where in a frame something is that was not there before, at a price far below decoding it.

Each look goes through ever dearer questions, and most looks end at the first: does any cell differ from the background
by more than its noise; is it the camera that shook; would another light explain it; or the same leaves some cells
further? What remains are regions: perhaps birds, for the tracker to follow, or named as what else they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.background import Background, BackgroundSettings, Light, rate
from birdwatchd.camera.motion.false_motion import (
    Newness,
    is_ghost,
    newness_of,
    unexplained_by_light,
    unexplained_by_sway,
)
from birdwatchd.camera.motion.foreground import Difference, difference_of
from birdwatchd.camera.motion.grid import Cells, FloatGrid, Grid, Mask
from birdwatchd.camera.motion.rois import Measure, around, places_of, square
from birdwatchd.camera.motion.tone import tone_of
from birdwatchd.records import Box, Region

__all__ = ["Gate", "GateSettings", "Look"]

_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Every number the gate decides by; those of learning are in `background`.

    Attributes:
        min_bird: height or width of the smallest bird, pixels of the source frame.
        ignore: polygons in fractions of the frame that never count as motion.
        smallest: share of `min_bird` that a region must measure; wings and tail fade into the background.
        fewest: cells above all of the threshold, as a share of the smallest region's square.
        thinnest: mean thickness of a region in smallest birds; rain and twigs are long and thin.
        strong_share: share of a region's cells that must be above all of the threshold.
        stands_out: some cell must exceed its threshold by this factor; fluctuation barely crosses the line.
        sway_reach: how far each leaf is looked for, in smallest birds.
        stray_reach: the same for whole regions (twigs).
        least_new: newness (see `explain.Newness`) below which a region is the old picture in other light or place.
        flashes: how many places may be new in one look only, in the mean, before nothing is believed that is not
            there twice: rain and snow.
        flash_s: time constant of that mean.
        flash_within_s: looks further apart than this say nothing about it.
        shake_share: share of the picture that must differ (not under birds) before a shaken camera is thought of.
        step_gain, step_offset: change of the whole picture's light between two looks that is a step (exposure, a lamp),
            as a factor's distance from 1 and in grey levels.
        largest_bird: share of the frame that one region's box may cover; more is light or somebody at the lens.
        known_share: share of a region's cells that lie where a bird is known to be for it to be that bird.
        specks_share: marked cells that lie in no more of the picture than this are explained at once; else it is seen
            first which are more than specks, which costs something as well.
        known_every: a known bird's newness is judged anew at every so manieth look only: it is much of a look's work.
    """

    min_bird: int = 24
    ignore: tuple[tuple[tuple[float, float], ...], ...] = ()
    smallest: float = 0.65
    fewest: float = 0.35
    thinnest: float = 0.22
    strong_share: float = 0.3
    stands_out: float = 1.4
    sway_reach: float = 0.6
    stray_reach: float = 1.6
    least_new: float = 0.42
    flashes: float = 4.0
    flash_s: float = 2.0
    flash_within_s: float = 0.15
    shake_share: float = 0.006
    step_gain: float = 0.05
    step_offset: float = 5.0
    largest_bird: float = 0.5
    known_share: float = 0.7
    specks_share: float = 0.2
    known_every: int = 3
    background: BackgroundSettings = field(default_factory=BackgroundSettings)


@dataclass(frozen=True, slots=True)
class Look:
    """What one frame showed.

    Attributes:
        regions: places that differ and may be birds, largest first; empty while learning or when the picture changed.
        ignored: places that differ and are something else; each says why.
        global_change: the whole picture changed; nothing can be said about birds in this frame.
        learning: the background is not known yet.
        busy: share of the picture that differs, 0 … 1, before anything was explained.
        relit: the light of the whole picture stepped since the last look, more than clouds do.
    """

    regions: tuple[Region, ...]
    ignored: tuple[Region, ...] = ()
    global_change: bool = False
    learning: bool = False
    busy: float = 0.0
    relit: bool = False


class Gate:
    """The motion gate of one camera at one frame size."""

    def __init__(self, settings: GateSettings, width: int, height: int) -> None:
        """Lay out the grid for source frames of `width` × `height` pixels."""
        self.settings = settings
        self.frame_size = (width, height)
        self.grid = Grid(width, height, settings.min_bird)
        self.background = Background(settings.background, self.grid)
        self._watched: Mask | None = self.grid.watched(settings.ignore) * 255 if settings.ignore else None
        self._reach = max(1, min(4, round(settings.sway_reach * self.grid.bird_cells)))
        self._window = max(5, min(9, round(self.grid.bird_cells) | 1))
        self._small = settings.smallest * self.grid.bird_cells
        join = max(1, round(self.grid.bird_cells * 0.3))
        self._measure = Measure(self._small, join, self._window + self._reach, settings.specks_share)
        self._fewest = settings.fewest * self._small * self._small
        self._previous: Cells | None = None
        self._last_at: float | None = None
        self._step_s = 0.0
        self._new_before: Mask | None = None
        self._flashes = 0.0
        self._looks = 0

    def look(self, luma: NDArray[np.uint8], at: float, held: Sequence[Box] = ()) -> Look:
        """Compare one frame with the background, then learn from it.

        Args:
            luma: uint8, shape (height, width) of the source frame.
            at: seconds on any clock that does not run backwards.
            held: where birds are known to be; the background does not learn there.
        """
        cells = self.grid.shrink(luma)
        step = min(1.0, max(0.0, at - self._last_at)) if self._last_at is not None else 0.0
        self._last_at, self._step_s = at, step
        self._looks += 1
        if self.background.learning:
            self.background.learn_first(cells, step, self._held_mask(held))
            self._previous = cells
            return Look((), learning=True)
        under = self._held_mask(held)
        seen = self._difference(cells, under)
        if seen is None:
            self.background.change_picture(cells, [self.grid.slices(box, 0.25) for box in held])
            self._previous = cells
            return Look((), global_change=True, busy=1.0)
        marked = cv2.countNonZero(seen.mask)
        busy = marked / seen.mask.size
        if not busy:
            self._new_before = None
        regions, ignored = self._regions(seen) if marked >= self._fewest else ((), ())
        if regions and regions[0].box.area > self.settings.largest_bird:
            self.background.change_picture(cells, [])
            return Look((), global_change=True, busy=busy)
        self.background.learn(seen.cells, seen.away, step, seen.mask, under)
        self._previous = seen.cells
        return Look(regions, ignored, busy=busy, relit=self._stepped(seen.light))

    def search(self, luma: NDArray[np.uint8]) -> tuple[Region, ...]:
        """Regions of a frame from another moment (earlier, or of the other stream), without learning from it."""
        if self.background.learning:
            return ()
        seen = self._difference(self.grid.shrink(luma), None, follow=False)
        return self._regions(seen, learn=False)[0] if seen is not None else ()

    def noise_map(self) -> FloatGrid:
        """By how much each cell must differ to count, grey levels, shape (rows, columns); a copy."""
        return self.background.threshold.copy()

    def absorb(self, box: Box) -> None:
        """Take what stands in `box` as background from now on (a ghost, or something that will not move)."""
        if self._previous is not None:
            self.background.absorb(self._previous, self.grid.slices(box, 0.3))

    # -- what the tracker sees (`tracker.AppearanceView`) ----------------------------------------------------------

    def cut(self, box: Box) -> Cells:
        """The cells of the last look in `box`; a copy."""
        assert self._previous is not None  # there is a look before there are regions
        return self._previous[self.grid.slices(box)].copy()

    def locate(self, patch: Cells, around: Box) -> tuple[Box, float]:
        """Where in `around` the last look resembles `patch` most, and the normalised correlation there."""
        assert self._previous is not None
        rows, columns = self.grid.slices(around)
        rows = _long_enough(rows, patch.shape[0] + 1, self.grid.rows)
        columns = _long_enough(columns, patch.shape[1] + 1, self.grid.columns)
        scores = cv2.matchTemplate(self._previous[rows, columns], patch, cv2.TM_CCOEFF_NORMED)
        _, best, _, (x, y) = cv2.minMaxLoc(np.nan_to_num(scores, nan=-1.0, posinf=-1.0))
        return self.grid.box(columns.start + x, rows.start + y, patch.shape[1], patch.shape[0]), float(best)

    def resembles_background(self, patch: Cells, box: Box) -> float:
        """The best normalised correlation of `patch` with the background at `box`."""
        rows, columns = self.grid.slices(box)
        rows = _long_enough(rows, patch.shape[0], self.grid.rows)
        columns = _long_enough(columns, patch.shape[1], self.grid.columns)
        empty = cv2.convertScaleAbs(self.background.level[rows, columns])
        scores = cv2.matchTemplate(empty, patch, cv2.TM_CCOEFF_NORMED)
        return float(np.nan_to_num(scores, nan=-1.0, posinf=-1.0).max())

    # -- comparing --------------------------------------------------------------------------------------------------

    def _difference(self, cells: Cells, under: Mask | None, *, follow: bool = True) -> Difference | None:
        share = self.settings.shake_share
        return difference_of(cells, self.background, under, self._watched, shake_share=share, follow=follow)

    def _stepped(self, light: Light) -> bool:
        """Whether the light of the whole picture changed more than clouds change it."""
        s = self.settings
        return abs(light.gain - 1.0) > s.step_gain or abs(light.offset) > s.step_offset

    def _held_mask(self, held: Sequence[Box]) -> Mask | None:
        if not held:
            return None
        mask = np.zeros(self.grid.shape, np.uint8)
        for box in held:
            mask[self.grid.slices(box, 0.25)] = 255
        return mask

    # -- regions ----------------------------------------------------------------------------------------------------

    def _regions(self, seen: Difference, *, learn: bool = True) -> tuple[tuple[Region, ...], tuple[Region, ...]]:
        """What of the marked cells is new, as regions, and what is something else."""
        s = self.settings
        raining = self._step_s <= s.flash_within_s or self._flashes > s.flashes  # or it is seen now whether it is
        specks_tell = learn and (raining or self.background.sways)
        places = places_of(seen.mask, self._measure, apart=not specks_tell)
        if not places:
            return (), ()
        core = np.zeros(self.grid.shape, np.uint8)
        for where in places:
            core[where] |= self._new_cells(seen, where, learn=learn)
        if learn:
            core = self._lasting(core)
        found: list[Region] = []
        for where in places:
            joined = np.asarray(cv2.dilate(core[where], square(self._measure.join)), np.uint8)
            found += self._parts(seen, where, joined, seen.mask[where])
        good = [region for region in found if not region.why]
        bad = [region for region in found if region.why]
        return tuple(sorted(good, key=lambda r: -r.box.area)), tuple(bad)

    def _new_cells(self, seen: Difference, where: tuple[slice, slice], *, learn: bool) -> Mask:
        """The marked cells that neither another light nor swaying explains."""
        level, mask = self.background.level[where], seen.mask[where]
        cells = np.ascontiguousarray(seen.cells[where])
        noise = self.background.threshold[where] * np.float32(0.35)
        new = cv2.bitwise_and(mask, unexplained_by_light(cells.astype(np.float32), level, noise, self._window))
        if not cv2.countNonZero(new):
            return np.asarray(new, np.uint8)
        doubtful = new if seen.under is None else cv2.bitwise_and(new, cv2.bitwise_not(seen.under[where]))
        if not cv2.countNonZero(doubtful):  # nothing but birds that are known
            return np.asarray(new, np.uint8)
        before = np.asarray(cv2.convertScaleAbs(level), np.uint8)
        tolerance = np.asarray(cv2.convertScaleAbs(np.maximum(noise, np.float32(3.0))), np.uint8)
        near = around(np.asarray(doubtful, np.uint8), self._measure.margin)
        swayed = np.zeros_like(doubtful)
        unexplained = unexplained_by_sway(cells[near], before[near], tolerance[near], self._reach)
        swayed[near] = cv2.bitwise_and(doubtful[near], cv2.bitwise_not(unexplained))
        if learn and cv2.countNonZero(swayed):
            self.background.remember_sway(seen.away, swayed > 0, where)
        return np.asarray(cv2.bitwise_and(new, cv2.bitwise_not(swayed)), np.uint8)

    def _lasting(self, core: Mask) -> Mask:
        """In rain and snow, only what was already there in the look before: a drop is at one place once."""
        before, self._new_before = self._new_before, core
        if before is None or self._step_s > self.settings.flash_within_s:
            return core
        here = around(core, 1)
        lasting = np.asarray(cv2.bitwise_and(core[here], cv2.dilate(before[here], _NEIGHBOURS)), np.uint8)
        flashed = cv2.connectedComponents(cv2.bitwise_and(core[here], cv2.bitwise_not(lasting)))[0] - 1
        self._flashes += rate(self._step_s, self.settings.flash_s) * (min(flashed, 50) - self._flashes)
        if self._flashes <= self.settings.flashes:
            return core
        there_twice = np.zeros_like(core)
        there_twice[here] = lasting
        return there_twice

    def _parts(self, seen: Difference, where: tuple[slice, slice], joined: Mask, mask: Mask) -> list[Region]:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        top, left = where[0].start, where[1].start
        regions = []
        for label in range(1, count):
            x, y, w, h, _ = (int(v) for v in stats[label])
            part = (labels[y : y + h, x : x + w] == label) & (mask[y : y + h, x : x + w] > 0)
            region = self._region(seen, part, left + x, top + y)
            if region is not None:
                regions.append(region)
        return regions

    def _region(self, seen: Difference, part: NDArray[np.bool_], left: int, top: int) -> Region | None:
        """Judge one connected part by its size, its shape and its strength; None for specks."""
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        s = self.settings
        if not rows.size or max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 < self._small:
            return None
        part = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        left, top = left + int(columns[0]), top + int(rows[0])
        h, w = part.shape
        here = (slice(top, top + h), slice(left, left + w))
        excess = seen.away[here][part] / self.background.threshold[here][part]
        area, strong = int(part.sum()), int((excess > 1.0).sum())
        why = ""
        if strong < self._fewest or float(excess.max()) < s.stands_out or strong < s.strong_share * area:
            why = "faint"
        elif area / float(np.hypot(w, h)) < s.thinnest * self.grid.bird_cells:
            why = "thin"
        newness = 1.0
        if not self._known(seen, part, here) or self._looks % s.known_every == 0:
            new = self._newness(seen, part, here, float(excess.mean()))
            newness = new.mean
            if not why and newness < s.least_new:
                why = new.explanation
                if new.returns:
                    self.background.remember_sway(seen.away, part, here)
        box = self.grid.box(left + seen.shift.across, top + seen.shift.down, w, h)
        ghost = not why and is_ghost(seen.cells, self.background.level, part, here, s.background.contrast)
        activity = self._activity(seen, part, here)
        tone = tone_of(seen.cells[here][part]) if not why else ()
        return Region(box, area / (w * h), float(excess.mean()), ghost, activity, newness, why, tone)

    def _known(self, seen: Difference, part: NDArray[np.bool_], here: tuple[slice, slice]) -> bool:
        """Whether a region is a bird that is known already, by its place."""
        return seen.under is not None and float((seen.under[here][part] > 0).mean()) >= self.settings.known_share

    def _newness(self, seen: Difference, part: NDArray[np.bool_], here: tuple[slice, slice], excess: float) -> Newness:
        """How new a region is, held against the background around it."""
        far = round(self.settings.stray_reach * self.grid.bird_cells)
        rows, columns = here
        nearby = (
            slice(max(0, rows.start - far), rows.stop + far),
            slice(max(0, columns.start - far), columns.stop + far),
        )
        level = self.background.level
        place = rows.start - nearby[0].start, columns.start - nearby[1].start
        return newness_of(seen.cells[here], level[here], level[nearby], part, excess, place)

    def _activity(self, seen: Difference, part: NDArray[np.bool_], here: tuple[slice, slice]) -> float:
        """Share of the region's cells that changed since the last look; one alone is noise, in a region of a few."""
        if self._previous is None:
            return 0.0
        change = cv2.absdiff(seen.cells[here], self._previous[here])[part]
        changed = int((change > 0.7 * self.background.threshold[here][part]).sum())
        return changed / change.size if changed > 1 else 0.0


def _long_enough(span: slice, least: int, limit: int) -> slice:
    """A span grown to at least `least` cells, inside the grid."""
    short = least - (span.stop - span.start)
    if short <= 0:
        return span
    begin = max(0, min(span.start - short // 2, limit - least))
    return slice(begin, min(limit, begin + least))
