"""Subtract the background from a frame, after illumination and camera shake are taken out (foreground mask).

What moves in the foreground is judged afterwards (`false_motion.py`, `detector.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from birdwatchd.camera.motion.background import Background, Illumination
from birdwatchd.camera.motion.grid import Cells, FloatGrid, GridFrame, Mask
from birdwatchd.camera.motion.stabilise import Shift, find_shift, undo_shift

__all__ = ["Foreground", "subtract_background"]

STABLE_SHARE = 0.7  # undoing a shift must leave less than this share of the foreground, or the camera did not shake
SHIFT_ERROR = 0.25  # cells; a shift is not undone more exactly, and steep edges differ by so much of their step
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Foreground:
    """What differs from the background in one frame.

    Attributes:
        cells: the frame's cells, uint8 (rows, columns), with camera shake undone.
        abs_diff: absolute difference of each cell from the background in the frame's light, float32, grey levels.
        denoised: 255 where that exceeds the weak threshold; median-filtered.
        shift: the camera shake that was undone.
        illumination: how the light changed since the frame before.
        held_mask: 255 where birds are known to be; None when there are none.
    """

    cells: Cells
    abs_diff: FloatGrid
    denoised: Mask
    shift: Shift
    illumination: Illumination
    held_mask: Mask | None = None


def subtract_background(
    frame: GridFrame,
    background: Background,
    held_mask: Mask | None,
    watch_mask: Mask | None,
    *,
    shake_share: float,
    adapt: bool,
) -> Foreground | None:
    """Find the foreground of a frame; None when it shows another scene.

    Args:
        held_mask: 255 where birds are known to be; None when there are none.
        watch_mask: 255 where there may be foreground at all; None for everywhere.
        shake_share: share of the cells that must be foreground (not under birds) before camera shake is looked for.
        adapt: apply the illumination to the background; False for a frame from another moment.
    """
    shift, cells = Shift(), frame.cells
    illumination = background.fit_illumination(cells) or background.fit_uncovered(cells)
    if illumination is None:
        shift = find_shift(cells, background.level, held_mask)
        if not shift:
            return None
        illumination = background.fit_illumination(undo_shift(frame, shift))
        if illumination is None:
            return None
    if adapt:
        background.apply_illumination(illumination)
    shaken = _threshold(frame, background, shift, illumination, held_mask, watch_mask)
    free = shaken.denoised if held_mask is None else cv2.bitwise_and(shaken.denoised, cv2.bitwise_not(held_mask))
    if shift or cv2.countNonZero(free) / free.size <= shake_share:
        return shaken
    shift = find_shift(cells, background.level, held_mask)
    if shift:
        stable = _threshold(frame, background, shift, illumination, held_mask, watch_mask)
        if cv2.countNonZero(stable.denoised) < STABLE_SHARE * cv2.countNonZero(shaken.denoised):
            return stable
    return shaken


def _threshold(
    frame: GridFrame,
    background: Background,
    shift: Shift,
    illumination: Illumination,
    held_mask: Mask | None,
    watch_mask: Mask | None,
) -> Foreground:
    """Undo the shift and mark the cells that differ by more than their weak threshold."""
    cells, threshold = frame.cells, background.weak_threshold
    if shift:
        cells = undo_shift(frame, shift)
        level = background.level
        gradient = cv2.subtract(cv2.dilate(level, _NEIGHBOURS), cv2.erode(level, _NEIGHBOURS))
        tolerance = SHIFT_ERROR * background.settings.weak_ratio
        threshold = np.asarray(cv2.scaleAdd(gradient, tolerance, threshold), np.float32)
    abs_diff = np.asarray(cv2.absdiff(cells.astype(np.float32), background.level), np.float32)
    mask = cv2.compare(abs_diff, threshold, cv2.CMP_GT)
    if watch_mask is not None:
        mask = cv2.bitwise_and(mask, watch_mask)
    denoised: Mask = np.asarray(cv2.medianBlur(mask, 3), np.uint8)
    if shift:
        _clear_border(denoised, shift)
    return Foreground(cells, abs_diff, denoised, shift, illumination, held_mask)


def _clear_border(mask: Mask, shift: Shift) -> None:
    """Clear the border that a shaken frame does not show: undoing the shift has filled it with made-up cells."""
    columns, rows = math.ceil(abs(shift.dx)), math.ceil(abs(shift.dy))
    if columns:
        mask[:, -columns:] = mask[:, -columns:] if shift.dx < 0 else 0
        mask[:, :columns] = mask[:, :columns] if shift.dx > 0 else 0
    if rows:
        mask[-rows:] = mask[-rows:] if shift.dy < 0 else 0
        mask[:rows] = mask[:rows] if shift.dy > 0 else 0
