"""Tell the mark of something that has left from something that is there.

What was learned as background and then leaves differs from it just as a bird does that comes. But its outline stands in
the background, and not in the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.grid import Cells, FloatGrid

__all__ = ["is_ghost"]

PLAINER = 1.6  # times as steep as in the picture is an outline in the background that only the background has
MARGIN = 2  # cells around the region in which its outline lies
_NEIGHBOURS = np.ones((3, 3), np.uint8)


def is_ghost(
    cells: Cells, level: FloatGrid, part: NDArray[np.bool_], here: tuple[slice, slice], contrast: float
) -> bool:
    """Whether the region's outline stands in the background, not in the picture: what was there has left.

    Args:
        cells, level: the whole present picture and the whole background, same shape.
        part: the region's own cells, in the rectangle `here`.
        contrast: grey levels between neighbouring cells from which there is an outline at all.
    """
    grown = (
        slice(max(0, here[0].start - MARGIN), here[0].stop + MARGIN),
        slice(max(0, here[1].start - MARGIN), here[1].stop + MARGIN),
    )
    full = np.zeros((grown[0].stop - grown[0].start, grown[1].stop - grown[1].start), np.uint8)
    full[
        here[0].start - grown[0].start : here[0].stop - grown[0].start,
        here[1].start - grown[1].start : here[1].stop - grown[1].start,
    ] = part
    now, before = cells[grown], level[grown]
    full = full[: now.shape[0], : now.shape[1]]
    rim = (cv2.dilate(full, _NEIGHBOURS) - cv2.erode(full, _NEIGHBOURS)) > 0
    outline_now, outline_before = _steepness(now.astype(np.float32), rim), _steepness(before, rim)
    return outline_before > PLAINER * outline_now and outline_before > contrast


def _steepness(cells: FloatGrid, rim: NDArray[np.bool_]) -> float:
    """Mean difference between neighbouring cells along the rim, grey levels."""
    steep = cv2.subtract(cv2.dilate(cells, _NEIGHBOURS), cv2.erode(cells, _NEIGHBOURS))
    return float(steep[rim].mean())
