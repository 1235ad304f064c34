"""Detect motion in a frame that may be a bird, at a cost far below that of decoding the frame (motion gate).

Each frame goes through ever dearer tests, and most end at the first: does any cell differ from the background by more
than its noise; did the camera shake; does a change of illumination explain it, or a shift of the same leaves? What
remains are regions: perhaps birds, for the tracker to follow, or ignored with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.mask import MOSTLY, PrivacyMask
from birdwatchd.camera.motion.background import Background, Illumination, learning_rate
from birdwatchd.camera.motion.false_motion import (
    ChangeScore,
    is_ghost,
    score_change,
    unexplained_by_light,
    unexplained_by_shift,
)
from birdwatchd.camera.motion.foreground import Foreground, subtract_background
from birdwatchd.camera.motion.grid import Cells, FloatGrid, Grid, GridFrame, Mask
from birdwatchd.camera.motion.jump import JumpState, JumpWatch
from birdwatchd.camera.motion.rois import Roi, RoiSizes, bounding_roi, find_rois, square_kernel
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.motion.stabilise import find_shift, undo_shift
from birdwatchd.camera.motion.tone import tone_of
from birdwatchd.records import Box, Region

__all__ = ["MotionDetector", "MotionResult"]

_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class MotionResult:
    """What was detected in one frame.

    Attributes:
        regions: foreground that may be birds, largest first; empty while learning or when the scene changed.
        ignored: foreground that is something else; each says why.
        global_change: the whole scene changed; nothing can be said about birds in this frame.
        learning: the background is not known yet.
        foreground_ratio: share of the cells that are foreground, 0 … 1, before anything was explained.
        illumination_step: the light over the whole frame changed since the last one by more than clouds change it.
        shaken: the frame lay apart from the background, and was moved back onto it.
        doubtful: the picture perhaps jumped to another moment of the place, and what differs may be no bird; the next
            looks will tell.
        jumped: it did; the background is learned anew.
    """

    regions: tuple[Region, ...]
    ignored: tuple[Region, ...] = ()
    global_change: bool = False
    learning: bool = False
    foreground_ratio: float = 0.0
    illumination_step: bool = False
    shaken: bool = False
    doubtful: bool = False
    jumped: bool = False


class MotionDetector:
    """The motion gate of one camera at one frame size."""

    def __init__(self, settings: MotionSettings, width: int, height: int) -> None:
        """Lay out the grid for source frames of `width` × `height` pixels."""
        self.settings = settings
        self.frame_size = (width, height)
        self.grid = Grid(width, height, settings.min_bird)
        self.background = Background(settings.background, self.grid)
        unwatched = (*settings.ignore, *settings.mask)
        self._watch_mask: Mask | None = self.grid.watch_mask(unwatched) * 255 if unwatched else None
        self._privacy = PrivacyMask(settings.mask)
        self._reach = max(1, min(4, round(settings.shift_reach * self.grid.bird_cells)))
        self._window = max(5, min(9, round(self.grid.bird_cells) | 1))
        self._min_size = settings.min_size * self.grid.bird_cells
        join = max(1, round(self.grid.bird_cells * 0.3))
        self._roi_sizes = RoiSizes(self._min_size, join, self._window + self._reach, settings.whole_share)
        self._min_area = settings.min_area * self._min_size * self._min_size
        self._jumps = JumpWatch(settings.jump)
        self._usual_sway: FloatGrid | None = None  # as it was before the picture perhaps jumped
        self._previous: Cells | None = None
        self._previous_s: float | None = None
        self._step_s = 0.0
        self._unexplained_before: Mask | None = None
        self._flashes = self._lost_s = 0.0
        self._frames = 0

    def update(self, luma: NDArray[np.uint8], time_s: float, held: Sequence[Box] = ()) -> MotionResult:
        """Detect motion in the next frame, then update the background with it.

        Args:
            luma: uint8, shape (height, width) of the source frame.
            time_s: seconds on any clock that does not run backwards.
            held: where birds are known to be; the background does not learn there.
        """
        frame = self.grid.frame(luma)
        cells = frame.cells
        step_s = min(1.0, max(0.0, time_s - self._previous_s)) if self._previous_s is not None else 0.0
        self._previous_s, self._step_s = time_s, step_s
        self._frames += 1
        if self.background.learning:
            cells = self._steady(frame) if self._frames > 1 else cells
            self.background.bootstrap(cells, step_s, self._held_mask(held))
            self._previous = cells
            return MotionResult((), learning=True)
        held_mask = self._held_mask(held)
        foreground = self._subtract(frame, held_mask)
        if foreground is None:
            self.background.switch_scene(cells, [self.grid.slices(box, 0.25) for box in held])
            self._previous = cells
            self._jumps.forget()
            return MotionResult((), global_change=True, foreground_ratio=1.0)
        area = cv2.countNonZero(foreground.denoised)
        ratio = area / foreground.denoised.size
        jump = self._jumps.update(frame, self.background.threshold, held_mask, time_s)
        doubtful = jump is JumpState.DOUBTFUL
        if jump is JumpState.JUMPED:
            self._previous, self._unexplained_before = cells, None
            self.background.learn_anew(cells, self._usual_sway)
            return MotionResult((), global_change=True, foreground_ratio=ratio, jumped=True)
        if not doubtful or self._usual_sway is None:  # what a jump changed is no sway
            self._usual_sway = self.background.sway.copy() if doubtful else None
        if not area:
            self._unexplained_before = None
        regions, ignored = self._regions(foreground) if area >= self._min_area else ((), ())
        self._lost_s = 0.0 if regions or held or ratio < self.settings.lost_share else self._lost_s + step_s
        if self._lost_s > self.settings.lost_s:
            self._lost_s = 0.0
            self.background.switch_scene(cells, [])
            return MotionResult((), global_change=True, foreground_ratio=ratio)
        if not doubtful:
            self.background.update(foreground.cells, foreground.abs_diff, step_s, foreground.denoised, held_mask)
        self._previous = foreground.cells
        return MotionResult(
            regions,
            ignored,
            foreground_ratio=ratio,
            illumination_step=self._is_illumination_step(foreground.illumination),
            shaken=bool(foreground.shift),
            doubtful=doubtful,
        )

    def detect(self, luma: NDArray[np.uint8]) -> tuple[Region, ...]:
        """Regions of a frame from another moment (earlier, or of the other stream); the background stays as it is."""
        return () if self.background.learning else self.detect_on_grid(self.grid.frame(luma))

    def detect_on_grid(self, frame: GridFrame, *, learn_sway: bool = False) -> tuple[Region, ...]:
        """The same of a frame that is on the grid already, once the background is known.

        Args:
            learn_sway: remember how far what sways is off; for frames of the scene that will be watched.
        """
        foreground = self._subtract(frame, None, adapt=False)
        return self._regions(foreground, learn=learn_sway)[0] if foreground is not None else ()

    def threshold_map(self) -> FloatGrid:
        """By how much each cell must differ to be foreground, grey levels, shape (rows, columns); a copy."""
        return self.background.threshold.copy()

    @property
    def cells(self) -> Cells | None:
        """The last frame's cells, shake undone; None before the first. Not to be changed."""
        return self._previous

    def insensitive_share(self, contrast: float) -> float:
        """Share of the watched cells, 0 … 1, in which only what differs by more than this is noticed (grey levels)."""
        insensitive = self.background.threshold > contrast
        unmasked = insensitive if self._watch_mask is None else insensitive[self._watch_mask > 0]
        return np.count_nonzero(unmasked) / max(1, unmasked.size)

    def absorb(self, box: Box) -> None:
        """Make what stands in `box` background at once (a ghost, or a static object)."""
        if self._previous is not None:
            self.background.absorb(self._previous, self.grid.slices(box, 0.3))

    # -- what the tracker sees (`tracker.AppearanceView`) ----------------------------------------------------------

    def cut(self, box: Box) -> Cells:
        """The last frame's cells in `box`; a copy."""
        assert self._previous is not None  # there is a frame before there are regions
        return self._previous[self.grid.slices(box)].copy()

    def locate(self, patch: Cells, around: Box) -> tuple[Box, float]:
        """Where in `around` the last frame resembles `patch` most, and the normalised correlation there, -1 … 1."""
        assert self._previous is not None
        rows, columns = self.grid.slices(around)
        rows = _at_least(rows, patch.shape[0] + 1, self.grid.rows)
        columns = _at_least(columns, patch.shape[1] + 1, self.grid.columns)
        scores = cv2.matchTemplate(self._previous[rows, columns], patch, cv2.TM_CCOEFF_NORMED)
        _, best, _, (x, y) = cv2.minMaxLoc(np.nan_to_num(scores, nan=-1.0, posinf=-1.0))
        return self.grid.box(columns.start + x, rows.start + y, patch.shape[1], patch.shape[0]), float(best)

    def resembles_background(self, patch: Cells, box: Box) -> float:
        """The best normalised correlation of `patch` with the background at `box`, -1 … 1."""
        rows, columns = self.grid.slices(box)
        rows = _at_least(rows, patch.shape[0], self.grid.rows)
        columns = _at_least(columns, patch.shape[1], self.grid.columns)
        empty = cv2.convertScaleAbs(self.background.level[rows, columns])
        scores = cv2.matchTemplate(empty, patch, cv2.TM_CCOEFF_NORMED)
        return float(np.nan_to_num(scores, nan=-1.0, posinf=-1.0).max())

    # -- foreground -------------------------------------------------------------------------------------------------

    def _subtract(self, frame: GridFrame, held_mask: Mask | None, *, adapt: bool = True) -> Foreground | None:
        share = self.settings.shake_share
        return subtract_background(frame, self.background, held_mask, self._watch_mask, shake_share=share, adapt=adapt)

    def _steady(self, frame: GridFrame) -> Cells:
        """A frame of the first ones with camera shake undone, so that edges are not learned as noise."""
        shift = find_shift(frame.cells, self.background.level, None)
        return undo_shift(frame, shift) if shift else frame.cells

    def _is_illumination_step(self, illumination: Illumination) -> bool:
        """Whether the light over the whole frame changed more than clouds change it."""
        s = self.settings
        return abs(illumination.gain - 1.0) > s.step_gain or abs(illumination.offset) > s.step_offset

    def _held_mask(self, held: Sequence[Box]) -> Mask | None:
        """255 under birds, with a margin; None when there are none."""
        if not held:
            return None
        mask = np.zeros(self.grid.shape, np.uint8)
        for box in held:
            mask[self.grid.slices(box, 0.25)] = 255
        return mask

    # -- regions ----------------------------------------------------------------------------------------------------

    def _regions(self, foreground: Foreground, *, learn: bool = True) -> tuple[tuple[Region, ...], tuple[Region, ...]]:
        """Split the foreground into regions that may be birds and regions that something else explains."""
        s = self.settings
        learn = learn and not foreground.shift
        raining = self._step_s <= s.flash_gap_s or self._flashes > s.max_flashes  # or this frame may show that it rains
        specks_matter = learn and (raining or self.background.swaying)
        rois = find_rois(foreground.denoised, self._roi_sizes, separate=not specks_matter)
        if not rois:
            return (), ()
        core = np.zeros(self.grid.shape, np.uint8)
        for roi in rois:
            core[roi] |= self._unexplained(foreground, roi, learn=learn)
        if learn:
            core = self._persistent(core)
        found: list[Region] = []
        for roi in rois:
            if cv2.countNonZero(core[roi]):
                found += self._components(foreground, core, roi)
        good = [region for region in found if not region.why]
        bad = [region for region in found if region.why]
        return tuple(sorted(good, key=lambda r: -r.box.area)), tuple(bad)

    def _unexplained(self, foreground: Foreground, roi: Roi, *, learn: bool) -> Mask:
        """The foreground in `roi` that neither a change of illumination nor a small shift explains."""
        level, mask = self.background.level[roi], foreground.denoised[roi]
        cells = np.ascontiguousarray(foreground.cells[roi])
        noise = self.background.threshold[roi] * np.float32(0.35)
        new = cv2.bitwise_and(mask, unexplained_by_light(cells.astype(np.float32), level, noise, self._window))
        if not cv2.countNonZero(new):
            return np.asarray(new, np.uint8)
        held_mask = foreground.held_mask
        unheld = new if held_mask is None else cv2.bitwise_and(new, cv2.bitwise_not(held_mask[roi]))
        if not cv2.countNonZero(unheld):  # nothing but birds that are known
            return np.asarray(new, np.uint8)
        before = np.asarray(cv2.convertScaleAbs(level), np.uint8)
        tolerance = np.asarray(cv2.convertScaleAbs(np.maximum(noise, np.float32(3.0))), np.uint8)
        near = bounding_roi(np.asarray(unheld, np.uint8), self._roi_sizes.margin)
        swayed = np.zeros_like(unheld)
        asked = np.asarray(unheld[near], np.uint8)
        unexplained = unexplained_by_shift(cells[near], before[near], tolerance[near], self._reach, asked)
        swayed[near] = cv2.bitwise_and(asked, cv2.bitwise_not(unexplained))
        if learn and cv2.countNonZero(swayed):
            self.background.raise_sway(foreground.abs_diff, swayed > 0, roi)
        return np.asarray(cv2.bitwise_and(new, cv2.bitwise_not(swayed)), np.uint8)

    def _persistent(self, core: Mask) -> Mask:
        """In rain and snow, only what was already there in the last frame: a drop is in one place once."""
        before, self._unexplained_before = self._unexplained_before, core
        if before is None or self._step_s > self.settings.flash_gap_s:
            return core
        here = bounding_roi(core, 1)
        lasting = np.asarray(cv2.bitwise_and(core[here], cv2.dilate(before[here], _NEIGHBOURS)), np.uint8)
        flashed = cv2.connectedComponents(cv2.bitwise_and(core[here], cv2.bitwise_not(lasting)))[0] - 1
        self._flashes += learning_rate(self._step_s, self.settings.flash_s) * (min(flashed, 50) - self._flashes)
        if self._flashes <= self.settings.max_flashes:
            return core
        there_twice = np.zeros_like(core)
        there_twice[here] = lasting
        return there_twice

    def _components(self, foreground: Foreground, core: Mask, roi: Roi) -> list[Region]:
        """The foreground in `roi` around each part of the core that lies apart from the others, as regions."""
        join = self._roi_sizes.join
        rows, columns = bounding_roi(core[roi], join)
        top, left = roi[0].start + rows.start, roi[1].start + columns.start
        joined = np.asarray(cv2.dilate(core[roi][rows, columns], square_kernel(join)), np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        mask = foreground.denoised[roi][rows, columns]
        regions = []
        for label in range(1, count):
            x, y, w, h, _ = (int(v) for v in stats[label])
            part = (labels[y : y + h, x : x + w] == label) & (mask[y : y + h, x : x + w] > 0)
            region = self._region(foreground, part, left + x, top + y)
            if region is not None:
                regions.append(region)
        return regions

    def _region(self, foreground: Foreground, part: NDArray[np.bool_], left: int, top: int) -> Region | None:
        """Make a region of one component, with what explains it if it is no bird; None for specks."""
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        s = self.settings
        if not rows.size or max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 < self._min_size:
            return None
        part = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        left, top = left + int(columns[0]), top + int(rows[0])
        h, w = part.shape
        here = (slice(top, top + h), slice(left, left + w))
        excess = foreground.abs_diff[here][part] / self.background.threshold[here][part]
        why = self._implausible(excess, w, h)
        change_score, scored = 1.0, False
        if not why and (not self._is_held(foreground, part, here) or self._frames % s.held_score_every == 0):
            score = self._score_change(foreground, part, here, float(excess.mean()))
            change_score, scored = score.mean, True
            if change_score < s.min_change_score:
                why = score.explanation
                if score.recurs:
                    self.background.raise_sway(foreground.abs_diff, part, here)
        box = self.grid.box(left + foreground.shift.dx, top + foreground.shift.dy, w, h)
        why = why or ("masked" if self._privacy.share(box) > MOSTLY else "")
        ghost = not why and self._is_ghost(foreground, part, here)
        activity = self._activity(foreground, part, here)
        tone = tone_of(foreground.cells[here][part]) if not why else ()
        fill, contrast = excess.size / (w * h), float(excess.mean())
        return Region(box, fill, contrast, ghost, activity, change_score, scored, why, tone)

    def _implausible(self, excess: FloatGrid, w: int, h: int) -> str:
        """Why a component cannot be a bird by its strength and shape: faint, thin, or empty if it can.

        Args:
            excess: difference of each of its cells in units of the threshold.
            w, h: of its bounding box, cells.
        """
        s = self.settings
        strong = int((excess > 1.0).sum())
        if strong < self._min_area or float(excess.max()) < s.min_peak or strong < s.strong_share * excess.size:
            return "faint"
        if excess.size / float(np.hypot(w, h)) < s.min_thickness * self.grid.bird_cells:
            return "thin"
        return ""

    def _is_held(self, foreground: Foreground, part: NDArray[np.bool_], here: Roi) -> bool:
        """Whether a region is a bird that is known already, by its place."""
        held_mask = foreground.held_mask
        return held_mask is not None and float((held_mask[here][part] > 0).mean()) >= self.settings.held_share

    def _score_change(self, foreground: Foreground, part: NDArray[np.bool_], here: Roi, excess: float) -> ChangeScore:
        """Score a region against the background around it."""
        reach = round(self.settings.match_reach * self.grid.bird_cells)
        rows, columns = here
        nearby = (
            slice(max(0, rows.start - reach), rows.stop + reach),
            slice(max(0, columns.start - reach), columns.stop + reach),
        )
        level = self.background.level
        offset = rows.start - nearby[0].start, columns.start - nearby[1].start
        return score_change(foreground.cells[here], level[here], level[nearby], part, excess, offset)

    def _is_ghost(self, foreground: Foreground, part: NDArray[np.bool_], here: Roi) -> bool:
        """Whether a region is where something has left that was learned as background."""
        background, s = self.background, self.settings
        if background.before_jump is not None:  # it was learned when the picture jumped: is the place as before that?
            now = foreground.cells[here][part]
            left = np.abs(now - background.before_jump[here][part])
            if float(left.mean()) < s.jump.empty_share * float(foreground.abs_diff[here][part].mean()):
                return True
        return is_ghost(foreground.cells, background.level, part, here, s.background.min_contrast)

    def _activity(self, foreground: Foreground, part: NDArray[np.bool_], here: Roi) -> float:
        """Share of the region's cells that changed since the last frame; one alone is noise, in a region of a few."""
        if self._previous is None:
            return 0.0
        change = cv2.absdiff(foreground.cells[here], self._previous[here])[part]
        changed = int((change > 0.7 * self.background.threshold[here][part]).sum())
        return changed / change.size if changed > 1 else 0.0


def _at_least(span: slice, length: int, limit: int) -> slice:
    """A span grown to at least `length` cells, inside the grid."""
    missing = length - (span.stop - span.start)
    if missing <= 0:
        return span
    begin = max(0, min(span.start - missing // 2, limit - length))
    return slice(begin, min(limit, begin + length))
