"""Model the empty scene of one camera: each cell's brightness, noise and sway.

Illumination is taken out first: a frame is compared with the background times a gain plus an offset, fitted robustly to
the whole frame, so that clouds and auto-exposure change the model and raise no alarm. A frame that no gain and offset
explain shows another scene (infra-red switched over, the camera was turned): the model of that scene is restored if
there is one, or a new one begun. Under birds nothing is learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.grid import Cells, FloatGrid, Grid, Mask

__all__ = ["Background", "BackgroundSettings", "Illumination", "rate"]

MAX_RESTARTS = 5  # of the first learning; a scene that never stays the same has to be learned as it is


@dataclass(frozen=True, slots=True)
class BackgroundSettings:
    """Every number the background decides by.

    Attributes:
        learn_s: seconds of picture before anything is reported; noise is unknown until then.
        relearn_s: the same after a change of scene, where noise is roughly known.
        contrast: smallest difference that counts, grey levels of 255; H.264 leaves up to 3 on a still picture.
        weak: share of the threshold above which cells belong to a region that has enough cells above all of it; keeps
            a bird whole whose back has the brightness of the foliage behind it.
        noise_factor: a cell must differ by this many times its mean absolute deviation (5 are 4 sigma).
        sway_share: share of the greatest sway remembered for a cell that it must exceed.
        still_share: share of the picture that may have swayed by more than what counts without being called swaying; a
            key frame's blocks come to 0.00004, a gust in leaves to 0.01 and more.
        renew_every_s: how often thresholds are worked out anew.
        level_s, noise_s: time constants of learning brightness and noise.
        standing_s: the same for brightness where something stands that is no bird (yet); birds are held meanwhile.
        sway_s: how long a gust is remembered, seconds; gusts come again within minutes.
        scene_change_share: share of the frame that no illumination explains before it is another scene.
        max_scenes: scenes kept besides the present one (day, infra-red, floodlight).
        min_scene_s: how long a scene must have lasted to be kept; what lies between two is not.
    """

    learn_s: float = 1.5
    relearn_s: float = 0.6
    contrast: float = 7.0
    weak: float = 0.6
    noise_factor: float = 5.0
    sway_share: float = 0.7
    still_share: float = 1e-4
    renew_every_s: float = 1.0
    level_s: float = 5.0
    noise_s: float = 12.0
    standing_s: float = 25.0
    sway_s: float = 120.0
    scene_change_share: float = 0.4
    max_scenes: int = 2
    min_scene_s: float = 8.0


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
        self.threshold: FloatGrid = np.full(grid.shape, settings.contrast, np.float32)
        """By how much a cell must differ, grey levels."""
        self.weak_threshold: FloatGrid = self.threshold * np.float32(settings.weak)
        """By how much next to cells that differ by all of the threshold."""
        self.sways = False
        """Something swayed here within the last minutes."""
        self._step = max(1, round(math.sqrt(grid.rows * grid.columns / 3000)))
        self._other_scenes: list[SceneModel] = []
        self._learned_s, self._frames, self._needed_s = 0.0, 0, settings.learn_s
        self._renewed_s = self._age_s = 0.0
        self._restarts = 0  # of the first learning

    @property
    def learning(self) -> bool:
        """Too little has been seen to say what is new."""
        return self._learned_s < self._needed_s - 0.01 or self._frames < 4

    def learn_first(self, cells: Cells, step_s: float, held: Mask | None = None) -> None:
        """Take one of the first looks: everything in it counts as background, but what is under birds.

        A look at another scene than those before it (black, while a filter moves) starts the learning again.

        Args:
            held: 255 under birds; None when there are none.
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
        difference = cv2.absdiff(cells.astype(np.float32), self.level)
        weight, free = 1.0 / self._frames, None if held is None else cv2.bitwise_not(held)
        cv2.accumulateWeighted(difference, self.noise, max(weight, 0.05) if self._frames > 2 else 1.0, free)
        cv2.accumulateWeighted(cells, self.level, max(weight, 0.05), free)
        if not self.learning:
            self._restarts = 0
            self.renew_threshold()

    def fit_illumination(self, cells: Cells, *, slack: float = 1.0) -> Illumination | None:
        """Fit the gain and offset that turn the background into `cells`; None when no such pair does.

        A line is fitted to a sample of the cells, leaving out what does not follow it (iteratively reweighted least
        squares with a hard limit).

        Args:
            slack: by how many thresholds a cell may be off; more than 1 while noise is not known.
        """
        every = self._step
        now = cells[::every, ::every].astype(np.float32).ravel()
        before = self.level[::every, ::every].ravel()
        limit = self.threshold[::every, ::every].ravel() * np.float32(slack)
        offset = _median(now - before)
        if float((np.abs(now - before - offset) > limit).mean()) < 0.02:
            return Illumination(1.0, offset)
        gain = 1.0
        for _ in range(4):
            rest = np.abs(now - gain * before - offset)
            near = rest <= max(4.0, 2.0 * _median(rest))
            gain, offset = _line(before[near], now[near])
        rest = np.abs(now - gain * before - offset)
        if not 0.25 <= gain <= 4.0 or float((rest > limit * max(1.0, gain)).mean()) > self.settings.scene_change_share:
            return None
        return Illumination(gain, offset)

    def apply_illumination(self, illumination: Illumination) -> None:
        """Apply a change of illumination to the whole background, also where birds hide it."""
        if abs(illumination.gain - 1.0) > 0.004:
            self.level *= np.float32(illumination.gain)
            self.noise *= np.float32(min(2.0, max(0.5, illumination.gain)))
        if abs(illumination.offset) > 0.25:
            self.level += np.float32(illumination.offset)

    def learn(self, cells: Cells, away: FloatGrid, step_s: float, standing: Mask, held: Mask | None) -> None:
        """Update brightness and noise with this look.

        Args:
            away: absolute difference of the look from the background, grey levels.
            standing: 255 where something differs that is no believed bird.
            held: 255 under birds, where nothing is learned; None when there are none.
        """
        s = self.settings
        self._age_s += step_s
        busy = standing if held is None else cv2.bitwise_or(standing, held)
        if cv2.countNonZero(busy):
            calm = cv2.bitwise_not(busy)
            cv2.accumulateWeighted(cells, self.level, rate(step_s, s.level_s), calm)
            cv2.accumulateWeighted(away, self.noise, rate(step_s, s.noise_s), calm)
            if held is not None:
                standing = np.asarray(cv2.bitwise_and(standing, cv2.bitwise_not(held)), np.uint8)
            cv2.accumulateWeighted(cells, self.level, rate(step_s, s.standing_s), standing)
        else:
            cv2.accumulateWeighted(cells, self.level, rate(step_s, s.level_s))
            cv2.accumulateWeighted(away, self.noise, rate(step_s, s.noise_s))
        self._renewed_s += step_s
        if self._renewed_s > s.renew_every_s:
            self.sway *= np.float32(math.exp(-self._renewed_s / s.sway_s))
            self.renew_threshold()
            self._renewed_s = 0.0

    def remember_sway(self, away: FloatGrid, part: NDArray[np.bool_], here: tuple[slice, slice]) -> None:
        """Note how far the cells of `part` (in the rectangle `here`) went without being a bird."""
        self.sway[here] = np.maximum(self.sway[here], np.where(part, away[here], np.float32(0.0)))

    def renew_threshold(self) -> None:
        """Work out anew by how much each cell must differ; what sways here sways one cell further tomorrow."""
        s = self.settings
        threshold = np.asarray(cv2.dilate(cv2.blur(self.noise, (3, 3)), _NEIGHBOURS), np.float32)
        np.multiply(threshold, np.float32(s.noise_factor), out=threshold)
        np.maximum(threshold, np.float32(s.contrast), out=threshold)
        swaying = int(np.count_nonzero(self.sway > s.contrast / s.sway_share))
        self.sways = swaying > s.still_share * self.sway.size
        if swaying:
            sway = np.asarray(cv2.dilate(self.sway, _NEIGHBOURS), np.float32)
            np.multiply(sway, np.float32(s.sway_share), out=sway)
            np.maximum(threshold, sway, out=threshold)
        self.threshold = threshold
        self.weak_threshold = threshold * np.float32(s.weak)

    def absorb(self, cells: Cells, where: tuple[slice, slice]) -> None:
        """Take what stands in `where` as background from now on."""
        self.level[where] = cells[where]

    def switch_scene(self, cells: Cells, held: Sequence[tuple[slice, slice]]) -> bool:
        """Restore the model of the scene that `cells` show, or begin a new one; True when it was known.

        Under held birds the new background is estimated from how the cells around them changed.
        """
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

    def _new_scene(self, cells: Cells, old: SceneModel, held: Sequence[tuple[slice, slice]]) -> SceneModel:
        level = cells.astype(np.float32)
        for where in held:
            level[where] = _illuminate_hidden(old.level, level, where)
        usual = max(1.0, _median(old.noise.ravel()))
        return SceneModel(level, np.full(self.grid.shape, usual, np.float32), np.zeros(self.grid.shape, np.float32))

    def _restore(self, scene: SceneModel) -> None:
        self.level, self.noise, self.sway = scene.level, scene.noise, scene.sway
        self._age_s = scene.age_s
        self.renew_threshold()

    def _store(self, scene: SceneModel) -> None:
        if scene.age_s > self.settings.min_scene_s:
            self._other_scenes = [scene, *self._other_scenes][: self.settings.max_scenes]


_NEIGHBOURS = np.ones((3, 3), np.uint8)


def rate(step_s: float, constant_s: float) -> float:
    """Share of the way an exponential average goes in `step_s` with time constant `constant_s`."""
    return 1.0 - math.exp(-step_s / constant_s)


def _median(values: NDArray[np.float32]) -> float:
    middle = values.size // 2
    return float(np.partition(values, middle)[middle])


def _line(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[float, float]:
    """Least squares of y = gain × x + offset; only an offset where x says nothing."""
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
    gain = min(3.0, max(0.2, _line(old[around][ring], new[around][ring])[0]))
    offset = float(new[around][ring].mean()) - gain * float(old[around][ring].mean())
    guess = old[where] * np.float32(gain) + np.float32(offset)
    return np.asarray(np.clip(guess, 0, 255), np.float32)
