"""Choose the regions of interest in which foreground is worth explaining: explaining is the dearest step of a frame.

A noisy frame, or one whose encoder starts again at a key frame, has specks everywhere; a bird is larger than a speck.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from birdwatchd.camera.motion.grid import Mask

__all__ = ["Roi", "RoiSizes", "bounding_roi", "find_rois", "square_kernel"]

Roi = tuple[slice, slice]
"""Rows and columns of a rectangle of cells."""


@dataclass(frozen=True, slots=True)
class RoiSizes:
    """What is large and what is near, in cells.

    Attributes:
        min_size: width or height from which a component is more than a speck.
        join: foreground up to twice so far apart is one component.
        margin: added around a component.
        whole_share: where all foreground lies in no more of the frame than this, it is one region of interest.
    """

    min_size: float
    join: int
    margin: int
    whole_share: float


def find_rois(mask: Mask, sizes: RoiSizes, *, separate: bool) -> list[Roi]:
    """Rectangles that hold every component larger than a speck, with its margin; none if all are specks.

    Args:
        mask: 255 where there is foreground; there is some.
        separate: one rectangle for each component, without the specks between, where that is much less to look at.
    """
    whole = bounding_roi(mask, sizes.margin)
    area = mask[whole].size
    if area <= sizes.whole_share * mask.size:
        return [whole]
    join, margin = sizes.join, sizes.margin
    bounds = bounding_roi(mask, 0)
    padded = cv2.copyMakeBorder(mask[bounds], join, join, join, join, cv2.BORDER_CONSTANT, value=0)
    stats = cv2.connectedComponentsWithStats(cv2.dilate(padded, square_kernel(join)), connectivity=8)[2][1:]
    sides = stats[:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1] - 2 * join
    large = stats[(sides >= sizes.min_size).any(axis=1)]
    if not large.size or not separate:
        return [whole] if large.size else []
    near = np.zeros_like(mask)
    for x, y, w, h, _ in large.tolist():  # `padded` begins `join` cells before the foreground, and so do its components
        left, top = bounds[1].start + x, bounds[0].start + y
        right, bottom = left + w - 2 * join + margin, top + h - 2 * join + margin
        near[max(0, top - margin) : bottom, max(0, left - margin) : right] = 255
    rois = _merge_overlapping(near)
    return rois if sum(mask[roi].size for roi in rois) < area / 2 else [whole]


def bounding_roi(mask: Mask, margin: int) -> Roi:
    """The rectangle that holds all foreground, with a margin."""
    x, y, w, h = cv2.boundingRect(mask)
    rows, columns = mask.shape
    return (
        slice(max(0, y - margin), min(rows, y + h + margin)),
        slice(max(0, x - margin), min(columns, x + w + margin)),
    )


def square_kernel(reach: int) -> Mask:
    """A kernel for dilation by `reach` cells to every side."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def _merge_overlapping(mask: Mask) -> list[Roi]:
    """Rectangles around the components of a mask; those that overlap become one."""
    while True:
        components = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:].tolist()
        rois = [(slice(y, y + h), slice(x, x + w)) for x, y, w, h, _ in components]
        filled = np.zeros_like(mask)
        for roi in rois:
            filled[roi] = 255
        if cv2.countNonZero(filled) == sum(w * h for _, _, w, h, _ in components):
            return rois
        mask = filled
