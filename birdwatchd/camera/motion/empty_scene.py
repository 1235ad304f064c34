"""Estimate the empty scene of a recording from frames that are spread over it (background initialisation).

A live camera learns its background while it watches. A recording often begins with the bird, which would become
background; but later in the recording its perch is empty. Each cell's level is the mode of its values, which stays
that of the empty scene until a bird sits on it for most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.grid import Cells, FloatGrid, GridFrame
from birdwatchd.camera.motion.stabilise import find_shift, undo_shift

__all__ = ["EmptyScene", "begin_with_recording", "empty_scene"]

MIN_SAMPLES = 6  # fewer tell a bird from its perch no better than the first seconds do
MAX_GAIN = 1.25  # of contrast between two frames of one recording
STABILISED = 2  # times: the first estimate of a swaying scene is blurred
MODE_VALUES = 3  # of a cell's values are averaged in the end
NOISE_FACTOR = 2.5  # mean absolute deviation over the lower quartile of absolute deviations, of normal noise
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


def begin_with_recording(detector: MotionDetector, lumas: Iterable[NDArray[np.uint8]]) -> float | None:
    """Let a detector begin with the empty scene of a recording, and learn what sways in it.

    Args:
        lumas: frames spread over the recording, uint8 (height, width); those of another size are left out.

    Returns:
        How many regions there usually are beside a bird (clutter), None where there are too few frames to tell; then
        the detector learns its background while it watches.
    """
    size = detector.frame_size
    samples = [detector.grid.frame(luma) for luma in lumas if luma.shape[::-1] == size]
    scene = empty_scene(samples)
    if scene is None:
        return None
    detector.background.begin_with(scene.level, scene.noise)
    counts = [len(detector.detect_on_grid(sample, learn_sway=True)) for sample in samples]
    detector.background.update_threshold()
    return max(0.0, float(np.percentile(counts, CLUTTER_QUANTILE)) - 1.0)


def _in_one_light(stack: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The samples, uint8 (samples, rows, columns), with the brightness and contrast of the median one."""
    lower, middle, upper = np.percentile(stack[:, ::3, ::3], (25, 50, 75), axis=(1, 2))
    spread = np.maximum(upper - lower, 1.0)
    gain = np.clip(np.median(spread) / spread, 1.0 / MAX_GAIN, MAX_GAIN)
    offset = np.median(middle) - gain * middle
    return np.asarray(stack * gain[:, None, None] + offset[:, None, None], np.float32)


def _in_place(sample: GridFrame, level: FloatGrid) -> Cells:
    """The cells of a sample with camera shake undone, which is found against an estimate of the scene."""
    shift = find_shift(sample.cells, level, None)
    return undo_shift(sample, shift) if shift else sample.cells


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
