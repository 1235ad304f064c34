"""Say which cells of a look differ from the background, once its light and the camera's shaking are taken out.

What is left is marked cell by cell; what it is, is for others to ask (`false_motion.py`, `detector.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from birdwatchd.camera.motion.background import Background, Illumination
from birdwatchd.camera.motion.grid import Cells, FloatGrid, Mask
from birdwatchd.camera.motion.stabilise import Shift, find_shift, moved_back

__all__ = ["Difference", "difference_of"]

STEADIER = 0.7  # times as many cells differ at most when the shaking is undone, or the camera did not shake
UNDONE = 0.25  # of a cell: shaking is not undone more exactly, and steep edges differ by so much of their step
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Difference:
    """One look at the grid, in the background's place and light.

    Attributes:
        cells: the look, moved back to where the background is.
        away: by how much each cell differs, grey levels.
        mask: 255 where that is more than the weak threshold.
        shift: how far the camera had shaken.
        illumination: how the light changed since the frame before.
        under: 255 where birds are known to be; None when there are none.
    """

    cells: Cells
    away: FloatGrid
    mask: Mask
    shift: Shift
    illumination: Illumination
    under: Mask | None = None


def difference_of(
    cells: Cells,
    background: Background,
    under: Mask | None,
    watched: Mask | None,
    *,
    shake_share: float,
    adapt: bool,
) -> Difference | None:
    """Take light and shaking out of a look; None when it is another picture altogether.

    Args:
        under: 255 where birds are known to be; None when there are none.
        watched: 255 where anything may be marked at all; None everywhere.
        shake_share: share of the picture that must differ (not under birds) before a shaken camera is thought of.
        adapt: apply the illumination to the background; False for a frame from another moment.
    """
    shift = Shift()
    illumination = background.fit_illumination(cells)
    if illumination is None:
        shift = find_shift(cells, background.level, under)
        if not shift:
            return None
        illumination = background.fit_illumination(moved_back(cells, shift))
        if illumination is None:
            return None
    if adapt:
        background.apply_illumination(illumination)
    seen = _marked(cells, background, shift, illumination, under, watched)
    busy = seen.mask if under is None else cv2.bitwise_and(seen.mask, cv2.bitwise_not(under))
    if shift or cv2.countNonZero(busy) / busy.size <= shake_share:
        return seen
    shift = find_shift(cells, background.level, under)
    if shift:
        steady = _marked(cells, background, shift, illumination, under, watched)
        if cv2.countNonZero(steady.mask) < STEADIER * cv2.countNonZero(seen.mask):
            return steady
    return seen


def _marked(
    cells: Cells,
    background: Background,
    shift: Shift,
    illumination: Illumination,
    under: Mask | None,
    watched: Mask | None,
) -> Difference:
    """Mark the cells that differ by more than their (weak) threshold."""
    threshold = background.weak_threshold
    if shift:
        cells = moved_back(cells, shift)
        level = background.level
        steep = cv2.subtract(cv2.dilate(level, _NEIGHBOURS), cv2.erode(level, _NEIGHBOURS))
        threshold = np.asarray(cv2.scaleAdd(steep, UNDONE * background.settings.weak, threshold), np.float32)
    away = np.asarray(cv2.absdiff(cells.astype(np.float32), background.level), np.float32)
    mask = cv2.compare(away, threshold, cv2.CMP_GT)
    if watched is not None:
        mask = cv2.bitwise_and(mask, watched)
    calm: Mask = np.asarray(cv2.medianBlur(mask, 3), np.uint8)
    if shift:
        _clear_lost(calm, shift)
    return Difference(cells, away, calm, shift, illumination, under)


def _clear_lost(mask: Mask, shift: Shift) -> None:
    """Unmark the edge that a shaken camera does not show: what stands there after moving back is made up."""
    columns, rows = math.ceil(abs(shift.across)), math.ceil(abs(shift.down))
    if columns:
        mask[:, -columns:] = mask[:, -columns:] if shift.across < 0 else 0
        mask[:, :columns] = mask[:, :columns] if shift.across > 0 else 0
    if rows:
        mask[-rows:] = mask[-rows:] if shift.down < 0 else 0
        mask[:rows] = mask[:rows] if shift.down > 0 else 0
