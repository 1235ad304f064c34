"""Model the empty scene of one camera: each cell's brightness, noise and sway.

Illumination is taken out first: a frame is compared with the background times a gain plus an offset, fitted robustly to
the whole frame, so that clouds and auto-exposure change the model and raise no alarm. A frame that no gain and offset
explain shows another scene (infra-red switched over, the camera was turned): the model of that scene is restored if
there is one, or a new one begun. Under birds nothing is learned.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.grid import Cells, FloatGrid, Grid, Mask
from birdwatchd.camera.motion.settings import BackgroundSettings

log = logging.getLogger(__name__)

__all__ = ["Background", "Illumination", "fit_light", "learning_rate"]

BLOCK = 8  # cells; a block of a scene that shows is told from chance by its texture
MIN_BLOCKS = 12  # with texture; fewer prove nothing
MATCHED_SHARE = 0.85  # of a block's cells, from which on it shows the scene
MAX_RESTARTS = 5  # of the first learning; a scene that never stays the same has to be learned as it is


@dataclass(frozen=True, slots=True)
class Illumination:
    """A change of light over the whole frame since the last one: brightness × `gain` + `offset` (grey levels)."""

    gain: float = 1.0
    offset: float = 0.0


@dataclass(slots=True, eq=False)
class SceneModel:
    """What was learned of one scene: brightness, noise and sway of each cell, and for how long."""

    level: FloatGrid
    noise: FloatGrid
    sway: FloatGrid
    age_s: float = 0.0


class Background:
    """The background model of one camera on one grid: of the present scene, and of some earlier ones."""

    def __init__(self, settings: BackgroundSettings, grid: Grid) -> None:
        self.settings, self.grid = settings, grid
        self.level: FloatGrid = np.zeros(grid.shape, np.float32)
        self.noise: FloatGrid = np.zeros(grid.shape, np.float32)
        self.sway: FloatGrid = np.zeros(grid.shape, np.float32)
        self.threshold: FloatGrid = np.full(grid.shape, settings.min_contrast, np.float32)
        """By how much a cell must differ, grey levels."""
        self.weak_threshold: FloatGrid = self.threshold * np.float32(settings.weak_ratio)
        """By how much a cell must differ beside cells above the threshold."""
        self.swaying = False
        """Leaves swayed somewhere in the scene within the last minutes."""
        self.before_jump: FloatGrid | None = None
        """Brightness as it was before the picture last jumped, in today's light: what birds of the jump may hide."""
        self._step = max(1, round(math.sqrt(grid.rows * grid.columns / 3000)))
        self._other_scenes: list[SceneModel] = []
        self._learned_s, self._frames, self._needed_s = 0.0, 0, settings.learn_s
        self._threshold_age_s = self._age_s = 0.0
        self._restarts = 0  # of the first learning

    @property
    def learning(self) -> bool:
        """Whether too little was learned to tell foreground from background."""
        return self._learned_s < self._needed_s - 0.01 or self._frames < 4

    def begin_with(self, level: FloatGrid, noise: FloatGrid) -> None:
        """Take a scene that is known already instead of learning it.

        Args:
            level, noise: brightness and mean deviation of each cell, float32 (rows, columns), grey levels.
        """
        self.level, self.noise = level.copy(), noise.copy()
        self._frames, self._learned_s = 4, self._needed_s
        self.update_threshold()

    def bootstrap(self, cells: Cells, step_s: float, held_mask: Mask | None = None) -> None:
        """Learn from one of the first frames, all of which counts as background but what lies under birds.

        A frame of another scene than those before it (black, while a filter moves) starts the learning again.

        Args:
            held_mask: 255 under birds; None when there are none.
        """
        self._frames += 1
        self._learned_s += step_s
        if self._frames == 1:
            self.level[:] = cells
            return
        illumination = self.fit_illumination(cells, slack=2.0)
        if illumination is not None:  # a camera that still finds its exposure is no noisy one
            self.apply_illumination(illumination)
        elif self._restarts < MAX_RESTARTS:
            self._restarts += 1
            needed_s = self._needed_s
            if not self.switch_scene(cells, []):
                self._needed_s = needed_s
            return
        abs_diff = cv2.absdiff(cells.astype(np.float32), self.level)
        rate, free = 1.0 / self._frames, None if held_mask is None else cv2.bitwise_not(held_mask)
        cv2.accumulateWeighted(abs_diff, self.noise, max(rate, 0.05) if self._frames > 2 else 1.0, free)
        cv2.accumulateWeighted(cells, self.level, max(rate, 0.05), free)
        if not self.learning:
            self._restarts = 0
            self.update_threshold()

    def fit_illumination(self, cells: Cells, *, slack: float = 1.0) -> Illumination | None:
        """Fit the gain and offset that turn the background into `cells`; None when no such pair does.

        A line is fitted to a sample of the cells by iteratively reweighted least squares with a hard limit: cells that
        do not follow it, as those on birds, do not count.

        Args:
            cells: uint8 (rows, columns).
            slack: by how many thresholds a cell may be off; more than 1 while noise is not known.
        """
        every = self._step
        now = cells[::every, ::every].astype(np.float32).ravel()
        before = self.level[::every, ::every].ravel()
        limit = self.threshold[::every, ::every].ravel() * np.float32(slack)
        offset = _median(now - before)
        if float((np.abs(now - before - offset) > limit).mean()) < 0.02:
            return Illumination(1.0, offset)
        gain, offset = fit_light(before, now, offset)
        outliers = np.abs(now - gain * before - offset) > limit * max(1.0, gain)
        if not 0.25 <= gain <= 4.0 or float(outliers.mean()) > self.settings.scene_change_share:
            return None
        return Illumination(gain, offset)

    def fit_uncovered(self, cells: Cells) -> Illumination | None:
        """Fit gain and offset where something large hides most of the scene; None where the rest does not match.

        Another scene matches in single cells by chance, but hardly anywhere in a whole block of textured ones.

        Args:
            cells: uint8 (rows, columns).
        """
        now = cells.astype(np.float32)
        offset = _mode(now - self.level)
        near = np.abs(now - self.level - offset) <= self.threshold
        gain, offset = _fit_line(self.level[near], now[near])
        matched = (np.abs(now - gain * self.level - offset) <= self.threshold).astype(np.float32)
        size = max(1, self.grid.columns // BLOCK), max(1, self.grid.rows // BLOCK)
        share = cv2.resize(matched, size, interpolation=cv2.INTER_AREA)
        mean = cv2.resize(self.level, size, interpolation=cv2.INTER_AREA)
        power = cv2.resize(cv2.multiply(self.level, self.level), size, interpolation=cv2.INTER_AREA)
        textured = power - mean * mean > self.settings.min_contrast**2
        blocks = int(textured.sum())
        if blocks < MIN_BLOCKS or not 0.5 <= gain <= 2.0:
            return None
        uncovered = int((textured & (share > MATCHED_SHARE)).sum())
        return Illumination(gain, offset) if uncovered >= self.settings.uncovered_share * blocks else None

    def apply_illumination(self, illumination: Illumination) -> None:
        """Apply a change of illumination to the whole background, also where birds hide it."""
        if self.before_jump is not None:
            self.before_jump = self.before_jump * np.float32(illumination.gain) + np.float32(illumination.offset)
        if abs(illumination.gain - 1.0) > 0.004:
            self.level *= np.float32(illumination.gain)
            self.noise *= np.float32(min(2.0, max(0.5, illumination.gain)))
        if abs(illumination.offset) > 0.25:
            self.level += np.float32(illumination.offset)

    def update(
        self, cells: Cells, abs_diff: FloatGrid, step_s: float, foreground: Mask, held_mask: Mask | None
    ) -> None:
        """Update brightness and noise with one frame.

        Args:
            abs_diff: absolute difference of the frame from the background, grey levels.
            foreground: 255 where it differs; what stands there is absorbed slowly.
            held_mask: 255 under birds, where nothing is learned; None when there are none.
        """
        s = self.settings
        self._age_s += step_s
        excluded = foreground if held_mask is None else cv2.bitwise_or(foreground, held_mask)
        if cv2.countNonZero(excluded):
            free = cv2.bitwise_not(excluded)
            cv2.accumulateWeighted(cells, self.level, learning_rate(step_s, s.level_s), free)
            cv2.accumulateWeighted(abs_diff, self.noise, learning_rate(step_s, s.noise_s), free)
            if held_mask is not None:
                foreground = np.asarray(cv2.bitwise_and(foreground, cv2.bitwise_not(held_mask)), np.uint8)
            cv2.accumulateWeighted(cells, self.level, learning_rate(step_s, s.absorb_s), foreground)
        else:
            cv2.accumulateWeighted(cells, self.level, learning_rate(step_s, s.level_s))
            cv2.accumulateWeighted(abs_diff, self.noise, learning_rate(step_s, s.noise_s))
        self._threshold_age_s += step_s
        if self._threshold_age_s > s.threshold_every_s:
            if not math.isfinite(float(self.level.sum())) or not math.isfinite(float(self.noise.sum())):
                log.error("the background of the camera is not finite; it is learned anew (this is a bug: report it)")
                self.switch_scene(cells, [])
                return
            self.sway *= np.float32(math.exp(-self._threshold_age_s / s.sway_s))
            self.update_threshold()
            self._threshold_age_s = 0.0

    def raise_sway(self, abs_diff: FloatGrid, part: NDArray[np.bool_], here: tuple[slice, slice]) -> None:
        """Raise the sway of the cells of `part` (in the rectangle `here`) to how far they are off now."""
        self.sway[here] = np.maximum(self.sway[here], np.where(part, abs_diff[here], np.float32(0.0)))

    def update_threshold(self) -> None:
        """Compute by how much each cell must differ, from the noise and the sway of it and of its neighbours."""
        s = self.settings
        threshold = np.asarray(cv2.dilate(cv2.blur(self.noise, (3, 3)), _NEIGHBOURS), np.float32)
        np.multiply(threshold, np.float32(s.noise_factor), out=threshold)
        np.maximum(threshold, np.float32(s.min_contrast), out=threshold)
        swaying = int(np.count_nonzero(self.sway > s.min_contrast / s.sway_share))
        self.swaying = swaying > s.swaying_share * self.sway.size
        if swaying:
            sway = np.asarray(cv2.dilate(self.sway, _NEIGHBOURS), np.float32)
            np.multiply(sway, np.float32(s.sway_share), out=sway)
            np.maximum(threshold, sway, out=threshold)
        self.threshold = threshold
        self.weak_threshold = threshold * np.float32(s.weak_ratio)

    def absorb(self, cells: Cells, where: tuple[slice, slice]) -> None:
        """Make what stands in `where` background."""
        self.level[where] = cells[where]

    def switch_scene(self, cells: Cells, held: Sequence[tuple[slice, slice]]) -> bool:
        """Restore the model of the scene that `cells` show, or begin a new one; True when it was known.

        Under held birds the new background is estimated from how the cells around them changed.
        """
        self.before_jump = None
        present = SceneModel(self.level, self.noise, self.sway, self._age_s)
        for scene in self._other_scenes:
            self._restore(scene)
            illumination = self.fit_illumination(cells)
            if illumination is not None:
                self._other_scenes.remove(scene)
                self._store(present)
                self.apply_illumination(illumination)
                return True
        self._store(present)
        self._restore(self._new_scene(cells, present, held))
        self._frames, self._learned_s, self._needed_s = 1, 0.0, self.settings.relearn_s
        return False

    def learn_anew(self, cells: Cells, sway: FloatGrid | None) -> None:
        """Learn the place anew after the picture jumped to another moment of it.

        Args:
            sway: how its leaves sway, as it was before the jump; as it is now where that is not known.
        """
        self.before_jump = self.level
        self._restore(SceneModel(cells.astype(np.float32), self.noise, self.sway if sway is None else sway))
        self._frames, self._learned_s, self._needed_s = 1, 0.0, self.settings.relearn_s

    def _new_scene(self, cells: Cells, old: SceneModel, held: Sequence[tuple[slice, slice]]) -> SceneModel:
        level = cells.astype(np.float32)
        for where in held:
            level[where] = _illuminate_hidden(old.level, level, where)
        usual = max(1.0, _median(old.noise.ravel()))
        return SceneModel(level, np.full(self.grid.shape, usual, np.float32), np.zeros(self.grid.shape, np.float32))

    def _restore(self, scene: SceneModel) -> None:
        self.level, self.noise, self.sway = scene.level, scene.noise, scene.sway
        self._age_s = scene.age_s
        self.update_threshold()

    def _store(self, scene: SceneModel) -> None:
        if scene.age_s > self.settings.min_scene_s and math.isfinite(float(scene.level.sum())):
            self._other_scenes = [scene, *self._other_scenes][: self.settings.max_scenes]


_NEIGHBOURS = np.ones((3, 3), np.uint8)


def learning_rate(step_s: float, constant_s: float) -> float:
    """The weight of a new value in an exponential average with time constant `constant_s`, `step_s` after the last."""
    return 1.0 - math.exp(-step_s / constant_s)


def _mode(differences: FloatGrid) -> float:
    """The most frequent of some differences between two frames, grey levels."""
    counts = np.bincount(np.clip(np.rint(differences.ravel()) + 255, 0, 510).astype(np.int64), minlength=511)
    return float(np.convolve(counts, np.ones(5), mode="same").argmax()) - 255.0


def _median(values: NDArray[np.float32]) -> float:
    middle = values.size // 2
    return float(np.partition(values, middle)[middle])


def fit_light(
    before: NDArray[np.float32], now: NDArray[np.float32], offset: float | None = None
) -> tuple[float, float]:
    """Fit gain and offset to some cells by iteratively reweighted least squares with a hard limit.

    Args:
        offset: the first guess; the median difference by default.
    """
    gain, offset = 1.0, _median(now - before) if offset is None else offset
    for _ in range(4):
        residual = np.abs(now - gain * before - offset)
        inliers = residual <= max(4.0, 2.0 * _median(residual))
        gain, offset = _fit_line(before[inliers], now[inliers])
    return gain, offset


def _fit_line(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[float, float]:
    """Fit y = gain × x + offset by least squares; only an offset where x hardly varies."""
    if x.size < 8:
        return 1.0, 0.0
    mx, my = float(x.mean()), float(y.mean())
    spread = float(((x - mx) ** 2).mean())
    gain = float(((x - mx) * (y - my)).mean()) / spread if spread > 4.0 else 1.0
    return gain, my - gain * mx


def _illuminate_hidden(old: FloatGrid, new: FloatGrid, where: tuple[slice, slice]) -> FloatGrid:
    """Estimate the background hidden in `where` of a new scene, from how the cells around it changed."""
    rows, columns = where
    margin = max(3, (rows.stop - rows.start) // 2, (columns.stop - columns.start) // 2)
    around = (
        slice(max(0, rows.start - margin), rows.stop + margin),
        slice(max(0, columns.start - margin), columns.stop + margin),
    )
    ring = np.ones(old[around].shape, bool)
    ring[
        rows.start - around[0].start : rows.stop - around[0].start,
        columns.start - around[1].start : columns.stop - around[1].start,
    ] = False
    if not ring.any():  # the bird hides all of it, and nothing tells the light behind it
        return old[where]
    gain = min(3.0, max(0.2, _fit_line(old[around][ring], new[around][ring])[0]))
    offset = float(new[around][ring].mean()) - gain * float(old[around][ring].mean())
    guess = old[where] * np.float32(gain) + np.float32(offset)
    return np.asarray(np.clip(guess, 0, 255), np.float32)
