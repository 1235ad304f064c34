"""Suppress false motion: changed illumination, leaves in the wind, and ghosts of what has left the background.

A shadow multiplies what it falls on, and a leaf in the wind is the same leaf some cells further: a bird is what neither
explains. Both tests look at small windows of cells, so that a bird in front of windy foliage or in a passing shadow is
still found in the middle of what is explained.

What was learned as background and then leaves differs from it just as a bird does that comes (a ghost). But its outline
stands in the background, and not in the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.grid import Cells, FloatGrid, Mask

__all__ = ["ChangeScore", "is_ghost", "score_change", "unexplained_by_light", "unexplained_by_shift"]

MIN_GAIN, MAX_GAIN = 0.4, 2.2  # a shadow leaves two fifths of the light or more; the sun may double it
MIN_CELLS = 12  # fewer have no texture to compare
FLAT = 2.0  # grey levels; a window with less spread has no texture
GHOST_EDGE_RATIO = 1.6  # how many times stronger than in the frame the outline of a ghost is in the background
GHOST_MARGIN = 2  # cells around a region in which its outline lies
_NEIGHBOURS = np.ones((3, 3), np.uint8)


def unexplained_by_light(now: FloatGrid, before: FloatGrid, tolerance: FloatGrid, window: int) -> Mask:
    """255 where no gain and no smooth veil turn a window of the background into the frame.

    Both are high-pass filtered first, so that soft edges (of clouds, of shadows, of an insect or a snowflake close to
    the lens) are explained as well; what has sharp edges is not.

    Args:
        now, before: cells of the frame and of the background, float32 (rows, columns), grey levels.
        tolerance: standard deviation that is still noise, grey levels, same shape.
        window: its side in cells, odd.
    """
    size = (window, window)
    mean_now, mean_before = cv2.blur(now, size), cv2.blur(before, size)
    fine_now, fine_before = now - mean_now, before - mean_before
    power_now, power_before = cv2.blur(fine_now * fine_now, size), cv2.blur(fine_before * fine_before, size)
    product = cv2.blur(fine_now * fine_before, size)
    gain = np.clip(product / (power_before + FLAT * FLAT), MIN_GAIN, MAX_GAIN)
    residual = power_now - 2 * gain * product + gain * gain * power_before
    ratio = (mean_now + 4.0) / (mean_before + 4.0)
    unexplained = (residual > tolerance * tolerance) | (ratio < MIN_GAIN) | (ratio > MAX_GAIN)
    return np.where(unexplained, np.uint8(255), np.uint8(0))


def unexplained_by_shift(now: Cells, before: Cells, tolerance: Cells, reach: int, asked: Mask) -> Mask:
    """255 where no window of the background within `reach` cells looks like the frame (block matching).

    Shifts are tried from the smallest on, until one explains each of the cells that are asked for.

    Args:
        now, before: cells of the frame and of the background in the same light, uint8 (rows, columns).
        tolerance: mean difference within 5 × 5 cells that is still noise, grey levels, same shape.
        reach: greatest shift, cells.
        asked: 255 where the answer matters; elsewhere it may be 255 although a shift explains the cell.
    """
    rows, columns = now.shape
    padded = cv2.copyMakeBorder(before, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    best = np.full(now.shape, 255, np.uint8)
    for shifts in _shifts(reach):
        for dy, dx in shifts:
            shifted = padded[reach + dy : reach + dy + rows, reach + dx : reach + dx + columns]
            cv2.min(best, cv2.blur(cv2.absdiff(now, shifted), (5, 5)), best)
        unexplained = np.asarray(cv2.compare(best, tolerance, cv2.CMP_GT), np.uint8)
        if not cv2.countNonZero(cv2.bitwise_and(unexplained, asked)):
            break
    return unexplained


@cache
def _shifts(reach: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Rows and columns of all shifts within a circle, in rings from the centre outwards."""
    steps = range(-reach, reach + 1)
    rings: dict[int, list[tuple[int, int]]] = {}
    for dy in steps:
        for dx in steps:
            if dy * dy + dx * dx <= reach * reach + 1:
                rings.setdefault(math.isqrt(dy * dy + dx * dx), []).append((dy, dx))
    return tuple(tuple(rings[distance]) for distance in sorted(rings))


@dataclass(frozen=True, slots=True)
class ChangeScore:
    """How little of a region the background explains, in five ways, each 0 (all of it) … 1 (nothing of it).

    Measured on the scenes of `benchmarks/detection` (seed 0): of the regions on birds 98 % are above 0.5 in the mean,
    of those of leaves, shadows, clouds, rain and snowflakes three quarters are below 0.4.

    Attributes:
        mismatch: the background around has no such template (for leaves and twigs in the wind it has).
        texture: where it is brighter and where it is darker, it does not correlate with what was there (shadows do).
        level: neither is its brightness what was there times a gain.
        edges: it has sharp edges (clouds, soft shadows, and flakes and insects close to the lens have none).
        strength: it differs by more than its threshold.
        in_place: the best match lies where the region lies: it was not shifted.
    """

    mismatch: float
    texture: float
    level: float
    edges: float
    strength: float
    in_place: bool = False

    @property
    def mean(self) -> float:
        """The mean of the five, 0 … 1."""
        return (self.mismatch + self.texture + self.level + self.edges + self.strength) / 5

    @property
    def recurs(self) -> bool:
        """Whether a shift or a shadow of the background explains it best: it will come again with the next gust."""
        return self.mismatch <= min(self.texture, self.level, self.edges, self.strength)

    @property
    def explanation(self) -> str:
        """What explains it best, by the least of the five: sway, light, soft or faint."""
        scores = {
            "sway": self.mismatch,
            "light": min(self.texture, self.level),
            "soft": self.edges,
            "faint": self.strength,
        }
        if self.in_place:
            del scores["sway"]
        return min(scores, key=scores.__getitem__)


def score_change(
    now: Cells,
    before: FloatGrid,
    around: FloatGrid,
    part: NDArray[np.bool_],
    excess: float,
    offset: tuple[int, int],
) -> ChangeScore:
    """Score how little of a region the background explains.

    Args:
        now, before: the region's rectangle in the frame (uint8) and in the background, grey levels.
        around: background of a larger rectangle around it.
        part: the region's own cells, same shape as `now`.
        excess: mean difference in units of the threshold.
        offset: row and column in `around` where the rectangle begins.
    """
    difference = now.astype(np.float32) - before
    correlation, residual = _fit_gain(now, before, difference, part)
    rim = np.asarray(cv2.dilate(part.astype(np.uint8), _NEIGHBOURS), np.uint8)
    found, row, column = _match_template(now, around, rim)
    return ChangeScore(
        mismatch=_ramp(found, 0.85, 0.5),
        texture=_ramp(correlation, 0.85, 0.5),
        level=_ramp(residual, 0.25, 0.5),
        edges=_ramp(_sharpness(difference, part), 0.7, 1.3),
        strength=_ramp(excess, 1.0, 2.5),
        in_place=max(abs(row - offset[0]), abs(column - offset[1])) <= 1,
    )


def _ramp(value: float, none: float, full: float) -> float:
    """0 at `none`, 1 at `full`, straight between them."""
    return min(1.0, max(0.0, (value - none) / (full - none)))


def _sharpness(difference: FloatGrid, part: NDArray[np.bool_]) -> float:
    """Steepest steps from cell to cell over the greatest differences (90th percentiles)."""
    wide = cv2.copyMakeBorder(difference, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    steps = np.asarray(cv2.subtract(cv2.dilate(wide, _NEIGHBOURS), cv2.erode(wide, _NEIGHBOURS)), np.float32)
    return _percentile_90(steps[1:-1, 1:-1][part]) / max(1.0, _percentile_90(np.abs(difference[part])))


def _percentile_90(values: NDArray[np.float32]) -> float:
    rank = int(0.9 * (values.size - 1))
    return float(np.partition(values, rank)[rank])


def _fit_gain(now: Cells, before: FloatGrid, difference: FloatGrid, part: NDArray[np.bool_]) -> tuple[float, float]:
    """How well the background times a gain explains the frame: correlation, and the share of the difference left.

    Where the frame is brighter and where it is darker are fitted apart and averaged: a moving shadow does both.
    """
    cells, correlation, residual = 0, 0.0, 0.0
    for side in (part & (difference > 0), part & (difference < 0)):
        count = int(side.sum())
        if count < MIN_CELLS:
            continue
        x, y = before[side], now[side].astype(np.float32)
        dx, dy = x - x.mean(), y - y.mean()
        spread = float(np.sqrt((dx * dx).mean() * (dy * dy).mean())) + FLAT
        gain = float((x * y).sum()) / max(float((x * x).sum()), 1.0)
        correlation += count * float((dx * dy).mean()) / spread
        residual += count * float(np.abs(y - gain * x).mean()) / max(float(np.abs(y - x).mean()), 1.0)
        cells += count
    return (correlation / cells, residual / cells) if cells else (0.0, 1.0)


def _match_template(now: Cells, before: FloatGrid, part: Mask) -> tuple[float, int, int]:
    """Find a region in the background around it: the greatest normalised correlation, -1 … 1, its row, its column.

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
    product = cv2.matchTemplate(before, template, cv2.TM_CCORR)
    correlation = product / np.sqrt(np.maximum(squares, cells) * max(power, cells))
    row, column = divmod(int(correlation.argmax()), correlation.shape[1])
    return float(correlation[row, column]), row, column


def is_ghost(
    cells: Cells, level: FloatGrid, part: NDArray[np.bool_], here: tuple[slice, slice], min_contrast: float
) -> bool:
    """Whether a region's outline stands in the background and not in the frame: what was there has left (a ghost).

    Args:
        cells, level: the whole frame and the whole background, same shape.
        part: the region's own cells, in the rectangle `here`.
        min_contrast: grey levels between neighbouring cells from which there is an outline at all.
    """
    grown = (
        slice(max(0, here[0].start - GHOST_MARGIN), here[0].stop + GHOST_MARGIN),
        slice(max(0, here[1].start - GHOST_MARGIN), here[1].stop + GHOST_MARGIN),
    )
    full = np.zeros((grown[0].stop - grown[0].start, grown[1].stop - grown[1].start), np.uint8)
    full[
        here[0].start - grown[0].start : here[0].stop - grown[0].start,
        here[1].start - grown[1].start : here[1].stop - grown[1].start,
    ] = part
    now, before = cells[grown], level[grown]
    full = full[: now.shape[0], : now.shape[1]]
    outline = (cv2.dilate(full, _NEIGHBOURS) - cv2.erode(full, _NEIGHBOURS)) > 0
    edge_now, edge_before = _mean_gradient(now.astype(np.float32), outline), _mean_gradient(before, outline)
    return edge_before > GHOST_EDGE_RATIO * edge_now and edge_before > min_contrast


def _mean_gradient(cells: FloatGrid, outline: NDArray[np.bool_]) -> float:
    """Mean difference between neighbouring cells along the outline, grey levels."""
    gradient = cv2.subtract(cv2.dilate(cells, _NEIGHBOURS), cv2.erode(cells, _NEIGHBOURS))
    return float(gradient[outline].mean())
