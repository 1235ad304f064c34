"""Decide where in a frame something is that was not there before, at a price far below decoding it.

The luma plane is shrunk to a grid on which the smallest bird of interest is a few cells high. Every cell learns its
background brightness and how much it flickers (wind, water, noise); what differs by more than that flicker becomes a
region. Where the tracker holds a bird, the background does not learn, so a bird that sits still stays visible. A
change of (nearly) the whole picture is light, infra-red or the camera, never a bird: the background starts over.
A region whose outline is in the background but no longer in the picture is the ghost of something that left; it is
learned away at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Box, Region

__all__ = ["Gate", "GateSettings", "Look"]

_NEIGHBOURS = np.ones((3, 3), np.uint8)
FloatGrid = NDArray[np.float32]
Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Every number the gate decides by.

    Attributes:
        min_bird: height or width of the smallest bird, pixels of the source frame.
        ignore: polygons in fractions of the frame that never count as motion.
        cells_per_bird: grid cells across the smallest bird; 5 keeps its outline, fewer would lose it in noise.
        max_grid: longest side of the grid, cells; bounds the cost per frame.
        learn_s: seconds of picture before anything is reported.
        contrast: smallest difference that counts, grey levels of 255; sensor noise on shrunk cells is below 2.
        noise_factor: a cell must differ by this many times its usual deviation (mean absolute; 4 are 3.2 sigma).
        weak: share of the threshold above which cells belong to a region that has enough cells above all of it; keeps
            a bird whole whose back has the brightness of the foliage behind it.
        strong_share: share of a region's cells that must be above all of it; a branch in the wind is weak throughout.
        background_s, flicker_s: time constants of learning.
        global_share: share of the picture that may change at once before it counts as a change of light.
        largest_bird: share of the frame that one region's box may cover; more is light or somebody at the lens.
    """

    min_bird: int = 24
    ignore: tuple[tuple[tuple[float, float], ...], ...] = ()
    cells_per_bird: float = 5.0
    max_grid: int = 480
    learn_s: float = 3.0
    contrast: float = 9.0
    noise_factor: float = 4.0
    weak: float = 0.55
    strong_share: float = 0.3
    background_s: float = 6.0
    flicker_s: float = 4.0
    flicker_held_s: float = 60.0
    global_share: float = 0.45
    largest_bird: float = 0.6


@dataclass(frozen=True, slots=True)
class Look:
    """What one frame showed.

    Attributes:
        regions: places that differ, largest first; empty while learning or during a change of light.
        global_change: the whole picture changed; nothing can be said about birds in this frame.
        learning: the background is not known yet.
    """

    regions: tuple[Region, ...]
    global_change: bool = False
    learning: bool = False


class Gate:
    """The background model of one camera at one frame size."""

    def __init__(self, settings: GateSettings, width: int, height: int) -> None:
        """Lay out the grid for source frames of `width` × `height` pixels."""
        self.settings = settings
        scale = settings.cells_per_bird / settings.min_bird
        longest = min(settings.max_grid, max(64.0, max(width, height) * scale), max(width, height))
        self.columns = max(8, round(width * longest / max(width, height)))
        self.rows = max(8, round(height * longest / max(width, height)))
        self.frame_size = (width, height)
        self._bird_cells = max(2.0, settings.min_bird * self.columns / width)
        self._watched = self._watched_mask(settings.ignore)
        shape = (self.rows, self.columns)
        self._background: FloatGrid = np.zeros(shape, np.float32)
        self._flicker: FloatGrid = np.zeros(shape, np.float32)
        self._recent: FloatGrid = np.zeros(shape, np.float32)
        self._seen_s = 0.0
        self._frames = 0
        self._last_at: float | None = None

    def look(self, luma: NDArray[np.uint8], at: float, held: Sequence[Box] = ()) -> Look:
        """Compare one frame with the background, then learn from it.

        Args:
            luma: uint8, shape (height, width) of the source frame.
            at: seconds on any clock that does not run backwards.
            held: where birds are known to be; the background does not learn there.
        """
        grid = cv2.resize(luma, (self.columns, self.rows), interpolation=cv2.INTER_AREA).astype(np.float32)
        step = min(1.0, max(0.0, at - self._last_at)) if self._last_at is not None else 0.0
        self._last_at = at
        if self._seen_s < self.settings.learn_s or self._frames < 5:
            self._learn_first(grid, step)
            return Look((), learning=True)
        difference = grid - self._background
        difference -= float(np.median(difference[::3, ::3]))  # the light as a whole
        flicker = cv2.dilate(self._flicker, _NEIGHBOURS)  # what sways here today sways one cell further tomorrow
        threshold = np.maximum(self.settings.contrast, self.settings.noise_factor * flicker)
        excess = np.abs(difference) / threshold
        mask: Mask = ((excess > self.settings.weak) & self._watched).astype(np.uint8)
        mask = np.asarray(cv2.medianBlur(mask, 3), np.uint8)
        if float(mask.mean()) > self.settings.global_share * float(self._watched.mean()):
            self._start_over(grid)
            return Look((), global_change=True)
        regions = self._regions(mask, excess, grid)
        if regions and regions[0].box.area > self.settings.largest_bird:
            self._start_over(grid)
            return Look((), global_change=True)
        self._learn(grid, step, mask, held)
        return Look(regions)

    def noise_map(self) -> FloatGrid:
        """Learned flicker of every cell, grey levels, shape (rows, columns); a copy."""
        return self._flicker.copy()

    # -- learning ---------------------------------------------------------------------------------------------------

    def _learn_first(self, grid: FloatGrid, step: float) -> None:
        self._frames += 1
        self._seen_s += step
        if self._frames == 1:
            self._background[:] = grid
            self._recent[:] = grid
            return
        self._flicker += (np.abs(grid - self._background) - self._flicker) / min(self._frames - 1, 60)
        self._background += (grid - self._background) / min(self._frames, 60)
        self._recent[:] = grid

    def _learn(self, grid: FloatGrid, step: float, mask: Mask, held: Sequence[Box]) -> None:
        """Pull background and flicker toward this frame; not the background under held birds."""
        s = self.settings
        light = float(np.median((grid - self._background)[::3, ::3]))
        rate = np.full(mask.shape, _rate(step, s.background_s), np.float32)
        rate[mask > 0] *= 0.4  # something stands there that is not (yet) followed
        flicker_rate = np.full(mask.shape, _rate(step, s.flicker_s), np.float32)
        for box in held:
            rows, columns = self._cells(box, grow=0.25)
            rate[rows, columns] = 0.0
            flicker_rate[rows, columns] = _rate(step, s.flicker_held_s)
            self._background[rows, columns] += _rate(step, s.background_s) * light
        self._background += rate * (grid - self._background)
        # flicker is change from moment to moment: a bird that sits still must not count as flicker of its place
        change = np.minimum(np.abs(grid - self._recent), 60.0)
        rising = change > self._flicker
        self._flicker += np.where(rising, flicker_rate, flicker_rate * 0.2) * (change - self._flicker)
        self._recent += _rate(step, 0.6) * (grid - self._recent)

    def _start_over(self, grid: FloatGrid) -> None:
        """The picture as a whole is another: take it as the new background, keep what is known of flicker."""
        self._background[:] = grid
        self._recent[:] = grid
        self._frames = 1
        self._seen_s = max(0.0, self.settings.learn_s - 1.0)

    # -- regions ----------------------------------------------------------------------------------------------------

    def _regions(self, mask: Mask, excess: FloatGrid, grid: FloatGrid) -> tuple[Region, ...]:
        reach = max(1, round(self._bird_cells * 0.3))
        joined = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        regions = []
        for label in range(1, count):
            x, y, w, h, _ = (int(v) for v in stats[label])
            part = (labels[y : y + h, x : x + w] == label) & (mask[y : y + h, x : x + w] > 0)
            region = self._region(part, excess[y : y + h, x : x + w], x, y)
            if region is not None:
                regions.append(self._marked(region, grid, mask))
        return tuple(sorted(regions, key=lambda r: -r.box.area))

    def _region(self, part: NDArray[np.bool_], excess: FloatGrid, x: int, y: int) -> Region | None:
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        if not rows.size:
            return None
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        w, h, strength = right - left, bottom - top, excess[part]
        small = 0.7 * self._bird_cells
        area, strong = int(part.sum()), int((strength > 1.0).sum())
        if max(w, h) < small or strong < max(0.35 * small * small, self.settings.strong_share * area):
            return None
        if float(strength.max()) < 1.5:  # a bird has a part that stands out; fluctuation barely crosses the line
            return None
        box = Box(
            (x + left) / self.columns, (y + top) / self.rows, w / self.columns, h / self.rows
        )
        return Region(box, area / (w * h), float(strength.mean()))

    def _marked(self, region: Region, grid: FloatGrid, mask: Mask) -> Region:
        """Say whether a region is a ghost: its outline stands in the background, not in the picture."""
        rows, columns = self._cells(region.box, grow=0.35)
        inside = mask[rows, columns]
        kernel = np.ones((3, 3), np.uint8)
        inner = (inside > 0) & (cv2.erode(inside, kernel, iterations=2) == 0)
        outer = (cv2.dilate(inside, kernel, iterations=2) > 0) & (inside == 0)
        if inner.sum() < 6 or outer.sum() < 6:
            return region
        now = _outline(grid[rows, columns], inner, outer)
        before = _outline(self._background[rows, columns], inner, outer)
        ghost = before > 2.0 * now and before > self.settings.contrast
        return Region(region.box, region.fill, region.contrast, ghost=ghost)

    def absorb(self, box: Box) -> None:
        """Take what stands in `box` as background from now on (a ghost, or something that will not move)."""
        rows, columns = self._cells(box, grow=0.3)
        self._background[rows, columns] = self._recent[rows, columns]

    def _cells(self, box: Box, grow: float) -> tuple[slice, slice]:
        dx, dy = box.w * grow + 1 / self.columns, box.h * grow + 1 / self.rows
        return (
            slice(max(0, int((box.y - dy) * self.rows)), max(0, math.ceil((box.y + box.h + dy) * self.rows))),
            slice(
                max(0, int((box.x - dx) * self.columns)), max(0, math.ceil((box.x + box.w + dx) * self.columns))
            ),
        )

    def _watched_mask(self, ignore: Sequence[Sequence[tuple[float, float]]]) -> NDArray[np.bool_]:
        mask = np.ones((self.rows, self.columns), np.uint8)
        for polygon in ignore:
            corners = np.array([(x * self.columns, y * self.rows) for x, y in polygon], np.float32)
            cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 0)
        return mask > 0


def _rate(step_s: float, constant_s: float) -> float:
    """Share of the way an exponential average goes in `step_s` with time constant `constant_s`."""
    return 1.0 - math.exp(-step_s / constant_s)


def _outline(grid: FloatGrid, inner: NDArray[np.bool_], outer: NDArray[np.bool_]) -> float:
    """How much a thing's rim differs from its surroundings: brightness, and spread of brightness."""
    level = abs(float(grid[inner].mean()) - float(grid[outer].mean()))
    spread = abs(float(grid[inner].std()) - float(grid[outer].std()))
    return level + spread
