"""Tell when a camera's picture jumps to another minute or hour of the same place.

A camera that comes back after an outage, or a stream that stalls and goes on, shows the same place in other sunlight.
Too little differs for another scene, and each sunlit patch among leaves would be a bird. A jump is told by three signs:
from one look to the next cells change at many places at once; neither light nor camera shake explains it; and both
before and after it hardly anything changes. Birds change one place each, or go on moving; wind and rain go on; a flash
of lightning is over at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.motion.background import fit_light
from birdwatchd.camera.motion.grid import Cells, FloatGrid, GridFrame, Mask
from birdwatchd.camera.motion.settings import JumpSettings
from birdwatchd.camera.motion.stabilise import find_shift, undo_shift

__all__ = ["JumpState", "JumpWatch"]

BLOCKS = (12, 9)  # columns and rows in which it is counted where cells changed
LEAST_SHARE = 0.02  # of the blocks; fewer are no jump, whatever explains them
CHANGED, SOLID = 0.02, 0.6  # share of a block's cells from which on it changed, and changed all over
SAMPLED = 7  # every seventh cell is enough to fit the light


class JumpState(Enum):
    """What a look says of a jump."""

    NONE = "none"
    DOUBTFUL = "doubtful"
    JUMPED = "jumped"


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """A step that may be a jump.

    Attributes:
        before, first: the cells of the looks before and after it.
        threshold: by how much a cell must differ, grey levels.
        birds: 255 where birds are known to be, which does not count; None when all of the frame counts.
        share: of the blocks that changed.
        since_s: time of the first look after it.
        looks: that followed this one.
    """

    before: Cells
    first: Cells
    threshold: FloatGrid
    birds: Mask | None
    share: float
    since_s: float
    looks: int = 0


class JumpWatch:
    """Compares each look of one camera with the one before it."""

    def __init__(self, settings: JumpSettings) -> None:
        self.settings = settings
        self._last: Cells | None = None
        self._last_s = 0.0
        self._last_share = 0.0
        self._suspicion: _Suspicion | None = None

    def forget(self) -> None:
        """The next look is not compared with those before it."""
        self._last, self._suspicion, self._last_share = None, None, 0.0

    def update(self, frame: GridFrame, threshold: FloatGrid, held_mask: Mask | None, time_s: float) -> JumpState:
        """Take the next look.

        Args:
            threshold: by how much each cell must differ, grey levels, float32 (rows, columns).
            held_mask: 255 where birds are known to be; None when there are none.
            time_s: seconds on a clock that does not run backwards.
        """
        before, gap_s = self._last, time_s - self._last_s
        self._last, self._last_s = frame.cells, time_s
        if before is None:
            return JumpState.NONE
        if self._suspicion is not None:
            return self._confirm(self._suspicion, frame, time_s)
        s = self.settings
        birds = held_mask
        if birds is not None and cv2.countNonZero(birds) > (1 - s.free) * birds.size:
            birds = None
        usual, self._last_share = self._last_share, _changed_share(before, frame, threshold, birds)
        if gap_s > s.gap_s:
            needed = s.share_after_gap
        else:
            needed = max(s.share if birds is None else s.share_beside_birds, s.times_usual * usual)
        if self._last_share < needed:
            return JumpState.NONE
        self._suspicion = _Suspicion(before, frame.cells, threshold.copy(), birds, self._last_share, time_s)
        return JumpState.DOUBTFUL

    def _confirm(self, step: _Suspicion, frame: GridFrame, time_s: float) -> JumpState:
        """Whether the picture stays as it was after the step, and does not go back to what it was before."""
        s = self.settings
        steady = _changed_share(step.first, frame, step.threshold, step.birds) <= s.moving_share * step.share
        differs = _changed_share(step.before, frame, step.threshold, step.birds) >= s.lasting_share * step.share
        if not (steady and differs):
            self._suspicion = None
            return JumpState.NONE
        step = replace(step, looks=step.looks + 1)
        if step.looks >= s.looks and time_s - step.since_s >= s.lasting_s - 0.01:
            self.forget()
            return JumpState.JUMPED
        self._suspicion = step
        return JumpState.DOUBTFUL


def _changed_share(before: Cells, frame: GridFrame, threshold: FloatGrid, birds: Mask | None) -> float:
    """Share of the blocks, 0 … 1, in which cells changed that neither light nor camera shake explains.

    Blocks that changed all over do not count: such a block lies in something large and solid, a bird at the lens.
    """
    earlier = before.astype(np.float32)
    if _scattered_share(_differing(frame.cells, earlier, threshold), birds) < LEAST_SHARE:
        return 0.0
    share = _scattered_share(_differing(frame.cells, _in_light_of(frame.cells, before), threshold), birds)
    if share < LEAST_SHARE:
        return 0.0
    shift = find_shift(frame.cells, earlier, birds)
    if not shift:
        return share
    steady = undo_shift(frame, shift)
    changed = _differing(steady, _in_light_of(steady, before), threshold)
    border = int(np.ceil(max(abs(shift.dx), abs(shift.dy))))
    changed[:border], changed[-border:], changed[:, :border], changed[:, -border:] = 0, 0, 0, 0
    return min(share, _scattered_share(changed, birds))


def _differing(cells: Cells, before: FloatGrid, threshold: FloatGrid) -> Mask:
    """255 where cells differ; median-filtered."""
    difference = cv2.absdiff(cells.astype(np.float32), before)
    return np.asarray(cv2.medianBlur(cv2.compare(difference, threshold, cv2.CMP_GT), 3), np.uint8)


def _in_light_of(cells: Cells, before: Cells) -> FloatGrid:
    """The earlier cells in the light of the later ones."""
    x = before.ravel()[::SAMPLED].astype(np.float32)
    gain, offset = fit_light(x, cells.ravel()[::SAMPLED].astype(np.float32))
    return np.asarray(before * np.float32(gain) + np.float32(offset), np.float32)


def _scattered_share(changed: Mask, birds: Mask | None) -> float:
    """Share of the blocks without birds in which some cells changed, but not all."""
    if birds is None:
        shares = _shares(changed)
        return float(((shares > CHANGED) & (shares < SOLID)).mean())
    shares = _shares(np.asarray(cv2.bitwise_and(changed, cv2.bitwise_not(birds)), np.uint8))
    free = _shares(birds) < SOLID
    return float(((shares > CHANGED) & (shares < SOLID))[free].mean()) if free.any() else 0.0


def _shares(mask: Mask) -> NDArray[np.float32]:
    """Share of each block's cells that are set."""
    return np.asarray(cv2.resize(mask.astype(np.float32), BLOCKS, interpolation=cv2.INTER_AREA) / 255, np.float32)
