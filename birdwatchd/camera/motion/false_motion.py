"""Tell what is really new in a picture from the old picture in another light, or a little out of place.

A shadow multiplies what it falls on, a leaf in the wind is the same leaf some cells further; neither is new. A bird is
what neither explains. Both tests look at small windows of cells, so that a bird in front of windy foliage or in a
passing shadow is still found in the middle of what is explained.

What was learned as background and then leaves differs from it just as a bird does that comes (a ghost). But its outline
stands in the background, and not in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.grid import Cells, FloatGrid, Mask

__all__ = ["Newness", "is_ghost", "newness_of", "unexplained_by_light", "unexplained_by_shift"]

MOST_DARKENED, MOST_LIT = 0.4, 2.2  # a shadow leaves two fifths of the light or more; the sun may double it
LEAST_CELLS = 12  # fewer have no texture to compare
FLAT = 2.0  # grey levels: less spread than this in a window is no texture


def unexplained_by_light(now: FloatGrid, before: FloatGrid, tolerance: FloatGrid, window: int) -> Mask:
    """255 where no gain and no smooth veil make a window of the old picture look like the new one.

    Both pictures are first freed of what changes slowly across a window, so that soft edges (of clouds, of shadows, of
    an insect or a snowflake close to the lens) are explained as well; what has sharp edges is not.

    Args:
        now, before: cells of the present picture and of the background, grey levels.
        tolerance: spread that is still noise, grey levels, same shape.
        window: cells across, odd.
    """
    size = (window, window)
    mean_now, mean_before = cv2.blur(now, size), cv2.blur(before, size)
    fine_now, fine_before = now - mean_now, before - mean_before
    power_now, power_before = cv2.blur(fine_now * fine_now, size), cv2.blur(fine_before * fine_before, size)
    together = cv2.blur(fine_now * fine_before, size)
    gain = np.clip(together / (power_before + FLAT * FLAT), MOST_DARKENED, MOST_LIT)
    rest = power_now - 2 * gain * together + gain * gain * power_before
    ratio = (mean_now + 4.0) / (mean_before + 4.0)
    new = (rest > tolerance * tolerance) | (ratio < MOST_DARKENED) | (ratio > MOST_LIT)
    return np.where(new, np.uint8(255), np.uint8(0))


def unexplained_by_shift(now: Cells, before: Cells, tolerance: Cells, reach: int) -> Mask:
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


@dataclass(frozen=True, slots=True)
class Newness:
    """Five ways in which a region can be new, each 0 (the old picture) … 1 (nothing of the old picture).

    Measured on the scenes of `benchmarks/detection` (seed 0): of the regions on birds 98 % are above 0.5 in the mean,
    of those of leaves, shadows, clouds, rain and snowflakes three quarters are below 0.4.

    Attributes:
        place: it is not found in the old picture some cells away (leaves and twigs in the wind are).
        texture: where it is brighter and where it is darker, it does not follow what was there (shadows and sun do).
        level: neither does its brightness times a gain.
        edges: it has sharp edges (clouds, soft shadows, and flakes and insects close to the lens have none).
        strength: it differs by more than its threshold.
        stays: where it is found best is its own place: it did not sway.
    """

    place: float
    texture: float
    level: float
    edges: float
    strength: float
    stays: bool = False

    @property
    def mean(self) -> float:
        """All five together."""
        return (self.place + self.texture + self.level + self.edges + self.strength) / 5

    @property
    def returns(self) -> bool:
        """Whether what differs is above all the old picture itself, moved or shaded: it will come again like a gust."""
        return self.place <= min(self.texture, self.level, self.edges, self.strength)

    @property
    def explanation(self) -> str:
        """What else it is, by the least of the five."""
        names = {"sway": self.place, "light": min(self.texture, self.level), "soft": self.edges, "faint": self.strength}
        if self.stays:
            del names["sway"]
        return min(names, key=names.__getitem__)


def newness_of(
    now: Cells,
    before: FloatGrid,
    around: FloatGrid,
    part: NDArray[np.bool_],
    excess: float,
    place: tuple[int, int],
) -> Newness:
    """How new a region is.

    Args:
        now, before: the region's rectangle in the present picture and in the background.
        around: background of a larger rectangle around it.
        part: the region's own cells, same shape as `now`.
        excess: mean difference in units of the threshold.
        place: row and column in `around` where the rectangle begins.
    """
    difference = now.astype(np.float32) - before
    likeness, rest = _follows_light(now, before, difference, part)
    rim = np.asarray(cv2.dilate(part.astype(np.uint8), np.ones((3, 3), np.uint8)), np.uint8)
    found, row, column = _found_nearby(now, around, rim)
    return Newness(
        place=_ramp(found, 0.85, 0.5),
        texture=_ramp(likeness, 0.85, 0.5),
        level=_ramp(rest, 0.25, 0.5),
        edges=_ramp(_sharpness(difference, part), 0.7, 1.3),
        strength=_ramp(excess, 1.0, 2.5),
        stays=max(abs(row - place[0]), abs(column - place[1])) <= 1,
    )


def _ramp(value: float, none: float, full: float) -> float:
    """0 at `none`, 1 at `full`, straight between them."""
    return min(1.0, max(0.0, (value - none) / (full - none)))


def _sharpness(difference: FloatGrid, part: NDArray[np.bool_]) -> float:
    """Steepest steps from cell to cell over the greatest differences (90th percentiles)."""
    wide = cv2.copyMakeBorder(difference, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    kernel = np.ones((3, 3), np.uint8)
    steep = np.asarray(cv2.subtract(cv2.dilate(wide, kernel), cv2.erode(wide, kernel)), np.float32)[1:-1, 1:-1]
    return _ninetieth(steep[part]) / max(1.0, _ninetieth(np.abs(difference[part])))


def _ninetieth(values: NDArray[np.float32]) -> float:
    at = int(0.9 * (values.size - 1))
    return float(np.partition(values, at)[at])


def _follows_light(
    now: Cells, before: FloatGrid, difference: FloatGrid, part: NDArray[np.bool_]
) -> tuple[float, float]:
    """How the old picture times a gain tells the new one: correlation, and what is left of the difference.

    Where it became brighter and where it became darker are judged apart and averaged: a moving shadow does both.
    """
    cells, likeness, rest = 0, 0.0, 0.0
    for side in (part & (difference > 0), part & (difference < 0)):
        count = int(side.sum())
        if count < LEAST_CELLS:
            continue
        x, y = before[side], now[side].astype(np.float32)
        dx, dy = x - x.mean(), y - y.mean()
        spread = float(np.sqrt((dx * dx).mean() * (dy * dy).mean())) + FLAT
        gain = float((x * y).sum()) / max(float((x * x).sum()), 1.0)
        likeness += count * float((dx * dy).mean()) / spread
        rest += count * float(np.abs(y - gain * x).mean()) / max(float(np.abs(y - x).mean()), 1.0)
        cells += count
    return (likeness / cells, rest / cells) if cells else (0.0, 1.0)


def _found_nearby(now: Cells, before: FloatGrid, part: Mask) -> tuple[float, int, int]:
    """How well a region is found in the old picture around it: the greatest correlation, -1 … 1, its row, its column.

    Args:
        now: cells of the region's rectangle.
        before: background of a larger rectangle around it.
        part: 1 for the region's own cells, same shape as `now`.
    """
    own = part.astype(np.float32)
    cells = max(float(own.sum()), 1.0)
    template = now.astype(np.float32)
    template = own * (template - float((own * template).sum()) / cells)
    power = float((template * template).sum())
    sums = cv2.matchTemplate(before, own, cv2.TM_CCORR)
    squares = cv2.matchTemplate(cv2.multiply(before, before), own, cv2.TM_CCORR) - sums * sums / cells
    together = cv2.matchTemplate(before, template, cv2.TM_CCORR)
    likeness = together / np.sqrt(np.maximum(squares, cells) * max(power, cells))
    row, column = divmod(int(likeness.argmax()), likeness.shape[1])
    return float(likeness[row, column]), row, column


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
