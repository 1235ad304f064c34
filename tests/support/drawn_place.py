"""A place drawn cell by cell: foliage, a bird, noise. Small enough that hundreds of looks cost a test nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.grid import Cells, FloatGrid

COLUMNS, ROWS = 160, 90  # 640 × 360 with a smallest bird of 24 pixels, halved twice
MIN_BIRD = 6  # cells, so that nothing is halved


def foliage(
    seed: int, rows: int = ROWS, columns: int = COLUMNS, *, mean: float = 110.0, spread: float = 28.0
) -> FloatGrid:
    """Leaves of a few cells before bushes of some more, grey levels."""
    chance = np.random.default_rng(seed)
    leaves = cv2.GaussianBlur(chance.normal(0, 1, (rows, columns)).astype(np.float32), (0, 0), 1.2)
    bushes = cv2.GaussianBlur(chance.normal(0, 1, (rows, columns)).astype(np.float32), (0, 0), 8.0)
    both = leaves / leaves.std() + 0.8 * bushes / bushes.std()
    return np.asarray(np.clip(mean + spread * both / both.std(), 12, 235), np.float32)


def oval(left: float, top: float, columns: float, rows: float, shape: tuple[int, int] = (ROWS, COLUMNS)) -> FloatGrid:
    """How much of each cell lies in an oval, 0 … 1, with an edge of one cell."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + 0.5
    across, down = (x - left - columns / 2) / (columns / 2), (y - top - rows / 2) / (rows / 2)
    return np.asarray(np.clip((1 - np.hypot(across, down)) * min(columns, rows) / 2 + 0.5, 0, 1), np.float32)


def with_bird(scene: FloatGrid, left: float, top: float, columns: float = 10, rows: float = 8) -> FloatGrid:
    """A dark bird with a pale breast in front of the scene."""
    bird = np.full(scene.shape, 40, np.float32)
    breast = oval(left + columns * 0.1, top + rows * 0.45, columns * 0.55, rows * 0.5, scene.shape)
    bird += breast * 170
    share = oval(left, top, columns, rows, scene.shape)
    return np.asarray(scene * (1 - share) + bird * share, np.float32)


def seen(scene: FloatGrid, chance: np.random.Generator, noise: float | FloatGrid = 1.5) -> Cells:
    """What the sensor makes of it: noise (standard deviation, grey levels), whole grey levels."""
    return np.asarray(np.clip(np.rint(scene + chance.normal(0, 1, scene.shape) * noise), 0, 255), np.uint8)


def cells_of(share: FloatGrid) -> NDArray[np.bool_]:
    """The cells that lie wholly in an oval."""
    return np.asarray(share >= 1.0)
