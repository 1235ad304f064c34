"""Tell what is really new in a picture from the old picture in another light, or a little out of place.

A shadow multiplies what it falls on, a leaf in the wind is the same leaf some cells further; neither is new. A bird is
what neither explains. Both tests look at small windows of cells, so that a bird in front of windy foliage or in a
passing shadow is still found in the middle of what is explained.
"""

from __future__ import annotations

import cv2
import numpy as np

from birdwatchd.camera.grid import Cells, FloatGrid, Mask

__all__ = ["unexplained_by_light", "unexplained_by_sway"]

MOST_DARKENED, MOST_LIT = 0.4, 2.2  # a shadow leaves two fifths of the light or more (clear sky, low sun); sun may double it
FLAT = 2.0  # grey levels: less spread than this in a window is no texture


def unexplained_by_light(now: FloatGrid, before: FloatGrid, tolerance: FloatGrid, window: int) -> Mask:
    """255 where no gain and offset make a window of the old picture look like the new one.

    Args:
        now, before: cells of the present picture and of the background, grey levels.
        tolerance: spread that is still noise, grey levels, same shape.
        window: cells across, odd.
    """
    size = (window, window)
    mean_now, mean_before = cv2.blur(now, size), cv2.blur(before, size)
    spread_now = cv2.blur(now * now, size) - mean_now * mean_now
    spread_before = cv2.blur(before * before, size) - mean_before * mean_before
    together = cv2.blur(now * before, size) - mean_now * mean_before
    gain = np.clip(together / (spread_before + FLAT * FLAT), MOST_DARKENED, MOST_LIT)
    rest = spread_now - 2 * gain * together + gain * gain * spread_before
    ratio = (mean_now + 4.0) / (mean_before + 4.0)
    new = (rest > tolerance * tolerance) | (ratio < MOST_DARKENED) | (ratio > MOST_LIT)
    return new.astype(np.uint8) * 255


def unexplained_by_sway(now: Cells, before: Cells, tolerance: Cells, reach: int) -> Mask:
    """255 where no window of the old picture within `reach` cells looks like the new one.

    Args:
        now, before: cells of the present picture and of the background in the same light.
        tolerance: mean difference within 5 × 5 cells that is still noise, grey levels.
        reach: how far things sway, cells.
    """
    rows, columns = now.shape
    padded = cv2.copyMakeBorder(before, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    least = np.full(now.shape, 255, np.uint8)
    for down in range(2 * reach + 1):
        for across in range(2 * reach + 1):
            if (down - reach) ** 2 + (across - reach) ** 2 <= reach * reach + 1:
                moved = padded[down : down + rows, across : across + columns]
                cv2.min(least, cv2.blur(cv2.absdiff(now, moved), (5, 5)), least)
    return np.asarray(cv2.compare(least, tolerance, cv2.CMP_GT), np.uint8)
