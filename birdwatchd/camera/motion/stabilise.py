"""Estimate camera shake as a translation of the whole frame, and undo it (digital image stabilisation).

Cameras on poles sway in the wind, and every edge in the frame would be foreground. The shift is found by least
squares between the frame and the background on a half-size grid (Lucas and Kanade, 1981); cells that do not fit are
left out, so that a moving bird does not drag the estimate along.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.grid import FINE_HALVINGS, Cells, FloatGrid, GridFrame, Mask, halved

__all__ = ["Shift", "find_shift", "moved", "undo_shift", "undo_shift_exactly"]

MIN_SHIFT = 0.12  # cells; undoing less is not worth the blur
MAX_SHIFT = 5.0  # cells; more is a camera that was turned
ITERATIONS = 4
_CENTRAL = np.array([[-0.5, 0.0, 0.5]], np.float32)


@dataclass(frozen=True, slots=True)
class Shift:
    """By how many cells the frame lies right of (`dx`) and below (`dy`) the background."""

    dx: float = 0.0
    dy: float = 0.0

    def __bool__(self) -> bool:
        return max(abs(self.dx), abs(self.dy)) >= MIN_SHIFT


def find_shift(cells: Cells, level: FloatGrid, held_mask: Mask | None) -> Shift:
    """The shift of `cells` against the background `level`; no shift where none fits.

    Args:
        cells: uint8 (rows, columns).
        level: background, float32 of the same shape, grey levels.
        held_mask: 255 under birds, which move by themselves; None when there are none.
    """
    now, before = _half(cells.astype(np.float32)), _half(level)
    gradient_x = np.asarray(cv2.filter2D(before, -1, _CENTRAL), np.float32)
    gradient_y = np.asarray(cv2.filter2D(before, -1, _CENTRAL.T), np.float32)
    usable = np.ones(before.shape, bool)
    usable[:2], usable[-2:], usable[:, :2], usable[:, -2:] = False, False, False, False
    if held_mask is not None:
        usable &= cv2.resize(held_mask, before.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0
    x = y = 0.0
    for _ in range(ITERATIONS):
        dx, dy = _lucas_kanade_step(before, _translate(now, x, y), gradient_x, gradient_y, usable)
        x, y = x + dx, y + dy
        if max(abs(x), abs(y)) > MAX_SHIFT / 2:
            return Shift()
        if max(abs(dx), abs(dy)) < 0.02:
            break
    return Shift(2 * x, 2 * y)


def undo_shift(frame: GridFrame, shift: Shift) -> Cells:
    """The frame's cells moved back onto the background; borders are repeated.

    The finer image below the cells is moved, by whole pixels where there are four to a cell: moving the cells
    themselves would blur what is one cell wide, and leaves in the sun would differ from the background as birds do.
    """
    scale = 1 << frame.halvings
    x, y = shift.dx * scale, shift.dy * scale
    if frame.halvings == FINE_HALVINGS:
        return halved(_moved(frame.fine, round(x), round(y)), frame.halvings)
    return halved(np.asarray(_translate(frame.fine, x, y), np.uint8), frame.halvings)


def undo_shift_exactly(frame: GridFrame, shift: Shift) -> Cells:
    """The same to a part of a pixel of the finer image, at many times the cost."""
    scale = 1 << frame.halvings
    fine = np.rint(_translate(frame.fine, shift.dx * scale, shift.dy * scale))
    return halved(np.asarray(fine, np.uint8), frame.halvings)


def moved(level: FloatGrid, shift: Shift) -> FloatGrid:
    """A background, float32 (rows, columns), moved by a shift; as it is where the shift is too small to be undone."""
    return _translate(level, -shift.dx, -shift.dy) if shift else level


def _moved(image: NDArray[np.uint8], x: int, y: int) -> NDArray[np.uint8]:
    """The image moved by whole pixels, left and up where they are positive; a fiftieth of the cost of `_translate`."""
    rows, columns = image.shape
    part = image[max(0, y) : rows + min(0, y), max(0, x) : columns + min(0, x)]
    borders = max(0, -y), max(0, y), max(0, -x), max(0, x)
    return np.asarray(cv2.copyMakeBorder(part, *borders, cv2.BORDER_REPLICATE), np.uint8)


def _half(cells: FloatGrid) -> FloatGrid:
    rows, columns = cells.shape[0] >> 1, cells.shape[1] >> 1
    small = cv2.resize(cells[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(small, (3, 3)), np.float32)


def _translate(cells: NDArray[np.generic], x: float, y: float) -> FloatGrid:
    matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(cells, matrix, cells.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[arg-type,return-value]  # its stubs know no arrays


def _lucas_kanade_step(
    before: FloatGrid, now: FloatGrid, gradient_x: FloatGrid, gradient_y: FloatGrid, usable: NDArray[np.bool_]
) -> tuple[float, float]:
    """One least-squares step: how much further to the right and down `now` lies than `before`."""
    residual = now - before
    residual = residual - np.median(residual[::4, ::4])
    size = np.abs(residual)
    inliers = usable & (size <= max(4.0, 3.0 * float(np.median(size[::4, ::4]))))
    gx, gy, e = gradient_x[inliers], gradient_y[inliers], residual[inliers]
    a, b, c = float(gx @ gx), float(gx @ gy), float(gy @ gy)
    u, v = float(gx @ e), float(gy @ e)
    det = a * c - b * b
    if det < 1e-3 * max(a * c, 1.0):
        return 0.0, 0.0
    # now(p) = before(p - s), so now - before = -s · gradient
    return -(c * u - b * v) / det, -(a * v - b * u) / det
