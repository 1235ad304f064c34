"""Find how far the whole picture moved, and move it back: cameras on poles sway in the wind.

The shift is found by least squares between the picture and the background on a half-size grid (Lucas and Kanade, 1981),
leaving out what does not fit, so that a bird does not drag the picture along.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.grid import Cells, FloatGrid, Mask

__all__ = ["Shift", "find_shift", "moved_back"]

LEAST, MOST = 0.12, 5.0  # cells; less is undone by nobody, more is a camera that was turned
STEPS = 4
_CENTRAL = np.array([[-0.5, 0.0, 0.5]], np.float32)


@dataclass(frozen=True, slots=True)
class Shift:
    """How many cells the picture lies right of and below its usual place."""

    across: float = 0.0
    down: float = 0.0

    def __bool__(self) -> bool:
        return max(abs(self.across), abs(self.down)) >= LEAST


def find_shift(cells: Cells, level: FloatGrid, under: Mask | None) -> Shift:
    """The shift of `cells` against the background `level`; no shift where none fits.

    Args:
        cells: uint8 (rows, columns).
        level: background, grey levels, same shape.
        under: 255 under birds, which move by themselves; None without.
    """
    now, before = _half(cells.astype(np.float32)), _half(level)
    across = np.asarray(cv2.filter2D(before, -1, _CENTRAL), np.float32)
    down = np.asarray(cv2.filter2D(before, -1, _CENTRAL.T), np.float32)
    usable = np.ones(before.shape, bool)
    usable[:2], usable[-2:], usable[:, :2], usable[:, -2:] = False, False, False, False
    if under is not None:
        usable &= cv2.resize(under, before.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0
    x = y = 0.0
    for _ in range(STEPS):
        moved = _moved(now, x, y)
        dx, dy = _step(before, moved, across, down, usable)
        x, y = x + dx, y + dy
        if max(abs(x), abs(y)) > MOST / 2:
            return Shift()
        if max(abs(dx), abs(dy)) < 0.02:
            break
    return Shift(2 * x, 2 * y)


def moved_back(cells: Cells, shift: Shift) -> Cells:
    """The picture in its usual place."""
    return np.asarray(_moved(cells, shift.across, shift.down), np.uint8)


def _half(cells: FloatGrid) -> FloatGrid:
    rows, columns = cells.shape[0] >> 1, cells.shape[1] >> 1
    small = cv2.resize(cells[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(small, (3, 3)), np.float32)


def _moved(cells: NDArray[np.generic], x: float, y: float) -> FloatGrid:
    matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(cells, matrix, cells.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[arg-type,return-value]  # its stubs know no arrays


def _step(
    before: FloatGrid, now: FloatGrid, across: FloatGrid, down: FloatGrid, usable: NDArray[np.bool_]
) -> tuple[float, float]:
    """One least-squares step: how much further to the right and down `now` lies than `before`."""
    rest = now - before
    rest = rest - np.median(rest[::4, ::4])
    size = np.abs(rest)
    good = usable & (size <= max(4.0, 3.0 * float(np.median(size[::4, ::4]))))
    gx, gy, e = across[good], down[good], rest[good]
    a, b, c = float(gx @ gx), float(gx @ gy), float(gy @ gy)
    u, v = float(gx @ e), float(gy @ e)
    det = a * c - b * b
    if det < 1e-3 * max(a * c, 1.0):
        return 0.0, 0.0
    # now(p) = before(p - s), so now - before = -s · gradient
    return -(c * u - b * v) / det, -(a * v - b * u) / det
