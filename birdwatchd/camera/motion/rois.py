"""Find where in a look marked cells are worth explaining, for explaining them is the dearest thing a look does.

A noisy picture, or one whose encoder begins anew at a key frame, has specks everywhere; a bird is larger than a speck.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from birdwatchd.camera.motion.grid import Mask

__all__ = ["Measure", "Place", "around", "places_of", "square"]

Place = tuple[slice, slice]
"""Rows and columns of a rectangle of cells."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What is large and what is near, in cells.

    Attributes:
        large: width or height from which a part is more than a speck.
        join: marked cells up to twice so far apart are one part.
        margin: what is looked at around a part.
        worth: share of the picture from which on specks are told from the rest; below it everything is looked at.
    """

    large: float
    join: int
    margin: int
    worth: float


def places_of(mask: Mask, measure: Measure, *, apart: bool) -> list[Place]:
    """Rectangles that hold every part that is more than a speck, with its margin; none if all are specks.

    Args:
        mask: 255 where cells are marked; some are.
        apart: each part by itself, and the specks between them left out, where that is much less to look at.
    """
    whole = around(mask, measure.margin)
    size = mask[whole].size
    if size <= measure.worth * mask.size:
        return [whole]
    reach, margin = measure.join, measure.margin
    marked = around(mask, 0)
    grown = cv2.copyMakeBorder(mask[marked], reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    stats = cv2.connectedComponentsWithStats(cv2.dilate(grown, square(reach)), connectivity=8)[2][1:]
    sides = stats[:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1] - 2 * reach
    large = stats[(sides >= measure.large).any(axis=1)]
    if not large.size or not apart:
        return [whole] if large.size else []
    near = np.zeros_like(mask)
    for x, y, w, h, _ in large.tolist():  # `grown` begins `reach` cells before what is marked, and so do its parts
        left, top = marked[1].start + x, marked[0].start + y
        right, bottom = left + w - 2 * reach + margin, top + h - 2 * reach + margin
        near[max(0, top - margin) : bottom, max(0, left - margin) : right] = 255
    places = _apart(near)
    return places if sum(mask[place].size for place in places) < size / 2 else [whole]


def around(mask: Mask, margin: int) -> Place:
    """The rectangle that holds every marked cell, with a margin."""
    x, y, w, h = cv2.boundingRect(mask)
    rows, columns = mask.shape
    return (
        slice(max(0, y - margin), min(rows, y + h + margin)),
        slice(max(0, x - margin), min(columns, x + w + margin)),
    )


def square(reach: int) -> Mask:
    """A kernel that reaches so many cells to every side."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def _apart(mask: Mask) -> list[Place]:
    """Rectangles around the connected parts of a mask; what overlaps is one."""
    while True:
        parts = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:].tolist()
        places = [(slice(y, y + h), slice(x, x + w)) for x, y, w, h, _ in parts]
        filled = np.zeros_like(mask)
        for place in places:
            filled[place] = 255
        if cv2.countNonZero(filled) == sum(w * h for _, _, w, h, _ in parts):
            return places
        mask = filled
