"""Blacken the places of a picture that nobody is to see (privacy mask), and say how much of a box lies in them.

Whoever makes a picture of a frame applies the mask before the picture leaves that function; `crops.py` is the only
module that does. Motion detection sees the whole frame, because light and shake of the camera are measured on all of
it, and never reports anything of a masked place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Box

__all__ = ["MOSTLY", "PrivacyMask"]

MOSTLY = 0.5  # of a box; a bird of which more is masked is not seen
EDGE = 2  # pixels by which a mask is wider: colours are upsampled and pictures resized over so many
RASTER = 512  # rows and columns on which shares of boxes are measured
KEPT_SIZES = 4  # of pictures: main stream, small stream, and those of a tuning sheet or video

Polygons = Sequence[Sequence[tuple[float, float]]]


class PrivacyMask:
    """The masked places of one camera; true where there are any."""

    def __init__(self, polygons: Polygons = ()) -> None:
        """
        Args:
            polygons: in fractions of the frame, at least three corners each.
        """
        self._polygons = tuple(polygons)
        self._rasters: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def __bool__(self) -> bool:
        return bool(self._polygons)

    def blacken(self, picture: NDArray[np.uint8], frame_size: tuple[int, int], left: int = 0, top: int = 0) -> None:
        """Make the masked pixels of a picture black, in place.

        Args:
            picture: uint8, shape (height, width, channels), a part of a frame or all of it.
            frame_size: (width, height) that the whole frame has at the picture's scale.
            left, top: of the picture in that frame, pixels.
        """
        if self._polygons:
            height, width = picture.shape[:2]
            picture[self._raster(*frame_size)[top : top + height, left : left + width]] = 0

    def share(self, box: Box) -> float:
        """Share of a box that is masked, 0 … 1."""
        if not self._polygons:
            return 0.0
        left, top = math.floor(box.x * RASTER), math.floor(box.y * RASTER)
        right, bottom = math.ceil((box.x + box.w) * RASTER), math.ceil((box.y + box.h) * RASTER)
        part = self._raster(RASTER, RASTER)[top : max(bottom, top + 1), left : max(right, left + 1)]
        return float(part.mean()) if part.size else 0.0

    def _raster(self, width: int, height: int) -> NDArray[np.bool_]:
        """True where a frame of this size is masked, shape (height, width)."""
        found = self._rasters.get((width, height))
        if found is None:
            filled = np.zeros((height, width), np.uint8)
            for polygon in self._polygons:
                corners = [(x * width, y * height) for x, y in polygon]
                cv2.fillPoly(filled, [np.round(np.array(corners)).astype(np.int32)], 255)
            around = np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)
            found = np.asarray(cv2.dilate(filled, around)) > 0
            while len(self._rasters) >= KEPT_SIZES:
                self._rasters.pop(next(iter(self._rasters)))
            self._rasters[width, height] = found
        return found
