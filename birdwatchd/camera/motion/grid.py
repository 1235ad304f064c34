"""Downsample frames to a coarse grid of cells, on which motion is detected, and convert cells to fractions of a frame.

The luma plane is halved a whole number of times, because OpenCV averages 2 × 2 pixels some forty times quicker than it
resizes by any other factor (1080p to 400 × 225: 4.8 ms; halved twice to 480 × 270: 0.12 ms). How often follows from the
smallest bird of interest: it must stay several cells high, or it would drown in noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Box

__all__ = ["FINE_HALVINGS", "Cells", "FloatGrid", "Grid", "GridFrame", "Mask", "halved", "scaled_min_bird"]

FloatGrid = NDArray[np.float32]
Cells = NDArray[np.uint8]
Mask = NDArray[np.uint8]

MIN_CELLS_PER_BIRD = 4.0  # 4 cells keep an outline, fewer are a speck
MIN_SIDE = 40  # cells; a frame halved further says nothing about where
MIN_BIRD = 4  # pixels; a smaller bird is not told from noise
FINE_HALVINGS = 2  # a quarter of a cell is fine enough to undo camera shake
_MIN_BOX = 1e-6  # of the frame; no box is thinner


@dataclass(frozen=True, slots=True)
class GridFrame:
    """A frame on the grid: its cells, uint8 (rows, columns), and what they were averaged from.

    Attributes:
        fine: uint8, up to four times the grid's rows and columns; a view of the luma plane where that is possible.
        halvings: how often `fine` is halved to give the cells.
    """

    fine: NDArray[np.uint8]
    halvings: int
    cells: Cells


def halved(image: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """Average 2 × 2 pixels so many times; the last odd row and column are left out. A copy unless `times` is 0."""
    for _ in range(times):
        rows, columns = image.shape[0] >> 1, image.shape[1] >> 1
        even = image[: rows * 2, : columns * 2]
        image = np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return image


def scaled_min_bird(min_bird: int, width: int, full_width: int) -> int:
    """`min_bird`, given in pixels of a stream `full_width` wide, in pixels of one `width` wide."""
    return max(MIN_BIRD, round(min_bird * width / full_width))


class Grid:
    """The grid of one frame size: geometry only, no state."""

    def __init__(self, width: int, height: int, min_bird: int) -> None:
        """
        Args:
            width, height: pixels of the source frame.
            min_bird: height or width of the smallest bird, pixels of the source frame.
        """
        self.frame_size = (width, height)
        for_bird = max(0, math.floor(math.log2(max(1.0, min_bird / MIN_CELLS_PER_BIRD))))
        for_frame = max(0, math.floor(math.log2(max(1.0, min(width, height) / MIN_SIDE))))
        self.halvings = min(for_bird, for_frame)
        self.cell = 1 << self.halvings
        self.columns, self.rows = max(1, width >> self.halvings), max(1, height >> self.halvings)
        self.bird_cells = max(2.0, min_bird / self.cell)
        self._x, self._y = self.cell / width, self.cell / height

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    def frame(self, luma: NDArray[np.uint8]) -> GridFrame:
        """Put a luma plane, uint8 (height, width), on the grid."""
        halvings = min(self.halvings, FINE_HALVINGS)
        fine = halved(luma, self.halvings - halvings)
        return GridFrame(fine, halvings, halved(fine, halvings) if halvings else fine.copy())

    def box(self, left: float, top: float, columns: float, rows: float) -> Box:
        """A rectangle of cells as fractions of the frame, clipped to the frame."""
        x, y = min(max(0.0, left * self._x), 1.0 - _MIN_BOX), min(max(0.0, top * self._y), 1.0 - _MIN_BOX)
        right, bottom = min(1.0, (left + columns) * self._x), min(1.0, (top + rows) * self._y)
        return Box(x, y, max(right - x, _MIN_BOX), max(bottom - y, _MIN_BOX))

    def rectangle(self, box: Box) -> tuple[float, float, float, float]:
        """(left, top, columns, rows) of a box, in cells, not rounded."""
        return box.x / self._x, box.y / self._y, box.w / self._x, box.h / self._y

    def slices(self, box: Box, grow: float = 0.0) -> tuple[slice, slice]:
        """The cells that a box touches, grown by `grow` of its own size on every side."""
        left, top, columns, rows = self.rectangle(box)
        dx, dy = columns * grow, rows * grow
        return (
            _span(top - dy, top + rows + dy, self.rows),
            _span(left - dx, left + columns + dx, self.columns),
        )

    def watch_mask(self, ignore: Sequence[Sequence[tuple[float, float]]]) -> Mask:
        """1 where motion counts, 0 inside the `ignore` polygons (fractions of the frame); uint8 (rows, columns)."""
        mask = np.ones(self.shape, np.uint8)
        for polygon in ignore:
            corners = [(x / self._x, y / self._y) for x, y in polygon]
            cv2.fillPoly(mask, [np.round(np.array(corners)).astype(np.int32)], 0)
        return mask


def _span(first: float, last: float, limit: int) -> slice:
    begin = min(max(0, math.floor(first)), limit - 1)
    return slice(begin, max(begin + 1, min(limit, math.ceil(last))))
