"""Estimate the empty scene of a recording from frames that are spread over it (background initialisation).

A live camera learns its background while it watches. A recording often begins with the bird, which would become
background; but later in the recording its perch is empty. Each cell's level is the mode of its values, which stays
that of the empty scene until a bird sits on it for most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.grid import Cells, FloatGrid, Grid, GridFrame
from birdwatchd.camera.motion.stabilise import find_shift, moved, undo_shift_exactly

__all__ = ["EmptyScene", "Recording", "begin_with_recording", "empty_scene", "without_restless"]

MIN_SAMPLES = 6  # fewer tell a bird from its perch no better than the first seconds do
MAX_GAIN = 1.25  # of contrast between two frames of one recording
STABILISED = 2  # times: the first estimate of a swaying scene is blurred
MODE_VALUES = 3  # of a cell's values are averaged in the end
NOISE_FACTOR = 2.5  # mean absolute deviation over the lower quartile of absolute deviations, of normal noise
SAME_PLACE = 0.6  # correlation of the edges of two scenes from which on they show the same place
RESTLESS_LEVELS = 12.0  # grey levels by which a cell differs from its usual level when something moves
RESTLESS_CELLS, RESTLESS_FRAMES = 0.06, 0.6  # share of the cells that do, and of the frames in which they do
MIN_FILL = 0.3  # share of its box that a bird takes at least; leaves in another light are patches
REGION_MARGIN = 0.15  # of its own size, around what stands there: feet, a thin tail
CLUTTER_QUANTILE = 25  # per cent: of the frames; a gust does not last, rain does


@dataclass(frozen=True, slots=True)
class EmptyScene:
    """A scene without birds: brightness and mean deviation of each cell, float32 (rows, columns), grey levels."""

    level: FloatGrid
    noise: FloatGrid


def empty_scene(samples: Sequence[GridFrame]) -> EmptyScene | None:
    """Estimate the empty scene; None from too few samples.

    Args:
        samples: frames spread over the recording, all on one grid.
    """
    if len(samples) < MIN_SAMPLES:
        return None
    stack = _in_one_light(np.stack([sample.cells for sample in samples]))
    level = _half_sample_mode(stack)
    for _ in range(STABILISED):
        stack = _in_one_light(np.stack([_in_place(sample, level) for sample in samples]))
        level = _half_sample_mode(stack)
    quarter = len(samples) // 4
    noise = NOISE_FACTOR * np.partition(np.abs(stack - level), quarter, axis=0)[quarter]
    return EmptyScene(level, np.asarray(noise, np.float32))


class Recording(Protocol):
    """What is needed of a recording (`birdwatchd.camera.place`)."""

    def frames(self) -> Iterable[NDArray[np.uint8]]:
        """Luma planes, uint8 (height, width), of frames spread over it."""

    def earlier(self, grid: Grid) -> Sequence[EmptyScene]:
        """The empty scenes of recordings before it, perhaps of the same place."""

    def remember(self, grid: Grid, scene: EmptyScene, *, seen_before: bool) -> None:
        """Keep its own scene for those after it; `seen_before`: an earlier one shows the same place."""


def begin_with_recording(detector: MotionDetector, recording: Recording) -> float | None:
    """Let a detector begin with the empty scene of a recording, and learn what sways in it.

    Returns:
        How many regions there usually are beside a bird (clutter), None where there are too few frames to tell; then
        the detector learns its background while it watches.
    """
    size = detector.frame_size
    samples = [detector.grid.frame(luma) for luma in recording.frames() if luma.shape[::-1] == size]
    scene = empty_scene(samples)
    if scene is None:
        return None
    level = scene.level
    others = [_moved_to(level, other) for other in recording.earlier(detector.grid)]
    seen_before = any(_likeness(level, other.level) >= SAME_PLACE for other in others)
    recording.remember(detector.grid, scene, seen_before=seen_before)
    cells = [_in_place(sample, level) for sample in samples]
    for other in others:
        level = without_restless(level, cells, other, detector)
    detector.background.begin_with(level, scene.noise)
    counts = [len(detector.detect_on_grid(sample, learn_sway=True)) for sample in samples]
    detector.background.update_threshold()
    return max(0.0, float(np.percentile(counts, CLUTTER_QUANTILE)) - 1.0)


def without_restless(
    level: FloatGrid, samples: Sequence[Cells], other: EmptyScene, watching: MotionDetector
) -> FloatGrid:
    """A scene without what stands in it, moves all the time, and is not there in another scene of the same place.

    A bird that sits there turns its head; seeds that lie otherwise than before do not. What left the other scene (its
    outline stands there, and not here) is left alone, and so are light and sway. Where the other scene shows another
    place, the scene stays as it is.

    Args:
        level: brightness of each cell, float32 (rows, columns).
        samples: cells of the frames that it was estimated from, camera shake undone.
        other: lies where this one does.
        watching: the detector that will watch the recording; not changed.
    """
    detector = MotionDetector(watching.settings, *watching.frame_size)
    cells = np.asarray(np.clip(np.rint(level), 0, 255), np.uint8)
    background = detector.background
    background.begin_with(other.level, other.noise)
    illumination = background.fit_illumination(cells)
    if illumination is None or _likeness(level, other.level) < SAME_PLACE:
        return level
    result = level.copy()
    for region in detector.detect_on_grid(GridFrame(cells, 0, cells)):
        where = detector.grid.slices(region.box, REGION_MARGIN)
        solid = region.fill >= MIN_FILL
        if solid and not region.ghost and _is_restless(level[where], [sample[where] for sample in samples]):
            result[where] = np.clip(background.level[where] * illumination.gain + illumination.offset, 0, 255)
    return result


def _is_restless(level: FloatGrid, samples: Sequence[Cells]) -> bool:
    """Whether something in a part of a scene moves in most of the frames; all of one shape."""
    differs = [np.abs(sample - level - np.median(sample - level)) > RESTLESS_LEVELS for sample in samples]
    return float(np.mean([cells.mean() > RESTLESS_CELLS for cells in differs])) > RESTLESS_FRAMES


def _likeness(one: FloatGrid, other: FloatGrid) -> float:
    """Correlation of the edges of two scenes, -1 … 1; the light matters little."""
    fine = [np.asarray(level - cv2.blur(level, (9, 9)), np.float32).ravel() for level in (one, other)]
    return float(np.corrcoef(fine[0], fine[1])[0, 1])


def _in_one_light(stack: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The samples, uint8 (samples, rows, columns), with the brightness and contrast of the median one."""
    lower, middle, upper = np.percentile(stack[:, ::3, ::3], (25, 50, 75), axis=(1, 2))
    spread = np.maximum(upper - lower, 1.0)
    gain = np.clip(np.median(spread) / spread, 1.0 / MAX_GAIN, MAX_GAIN)
    offset = np.median(middle) - gain * middle
    return np.asarray(stack * gain[:, None, None] + offset[:, None, None], np.float32)


def _moved_to(level: FloatGrid, other: EmptyScene) -> EmptyScene:
    """Another scene moved to where this one lies: a camera that shakes, or was bumped, comes to rest elsewhere."""
    cells = np.asarray(np.clip(np.rint(level), 0, 255), np.uint8)
    return replace(other, level=moved(other.level, find_shift(cells, other.level, None)))


def _in_place(sample: GridFrame, level: FloatGrid) -> Cells:
    """The cells of a sample with camera shake undone, which is found against an estimate of the scene."""
    shift = find_shift(sample.cells, level, None)
    return undo_shift_exactly(sample, shift) if shift else sample.cells


def _half_sample_mode(stack: NDArray[np.float32]) -> FloatGrid:
    """The mode along the first axis: the densest half of the values, its densest half, and so on.

    Source: D. R. Bickel and R. Frühwirth, On a fast, robust estimator of the mode (2006).
    """
    values = np.sort(stack, axis=0)
    while len(values) > MODE_VALUES:
        half = (len(values) + 1) // 2
        start = (values[half - 1 :] - values[: len(values) - half + 1]).argmin(axis=0)
        index = start[None] + np.arange(half).reshape(-1, 1, 1)
        values = np.take_along_axis(values, index, axis=0)
    return np.asarray(values.mean(axis=0), np.float32)
