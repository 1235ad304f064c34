"""Measure whether birds can be seen in a picture at all, and if not, why.

A motion gate learns what moves and reports it no longer. Where everything moves (water, rain on the lens, a camera that
swings in the wind) it ends up reporting nothing, and a picture that is black or frozen shows nothing either. From
outside all of these look like a quiet place. The measure is the share of the watched cells that would miss most birds,
averaged over about a minute.
"""

from __future__ import annotations

import cv2
import numpy as np

from birdwatchd.camera.blindness import BlindSpell
from birdwatchd.camera.motion.background import learning_rate
from birdwatchd.camera.motion.detector import MotionDetector, MotionResult
from birdwatchd.camera.motion.grid import Cells
from birdwatchd.camera.motion.settings import SightSettings
from birdwatchd.records import Blindness

__all__ = ["Sight"]

LONGEST_STEP_S = 1.0  # of what one frame stands for; while no frames come, nothing is known
MEASURE_EVERY_S = 1.0  # as often as the background computes its thresholds
SAMPLED = 4  # every fourth row and column are enough for the brightness of the whole


class Sight:
    """How well birds can be seen by one camera.

    Attributes:
        blind: why they can hardly be seen; None while they can.
    """

    def __init__(self, settings: SightSettings | None = None) -> None:
        self.settings = settings or SightSettings()
        self.blind: Blindness | None = None
        self._shares = dict.fromkeys(Blindness, 0.0)
        self._blind_s = dict.fromkeys(Blindness, 0.0)
        self._seconds = self._still_s = 0.0
        self._shaken = self._weight = 0.0  # averages over the blind seconds: whether all moved as one, and 1
        self._last_s: float | None = None
        self._cells: Cells | None = None
        self._measured_s = float("-inf")
        self._insensitive = 0.0  # as measured last
        self._plain: Blindness | None = None

    def update(self, gate: MotionDetector, motion: MotionResult, now_s: float, *, birds: bool) -> None:
        """Take what the gate made of the next frame.

        Args:
            now_s: seconds on a clock that does not run backwards.
            birds: some are known to be there; they may fill the frame.
        """
        step_s = 0.0 if self._last_s is None else min(LONGEST_STEP_S, max(0.0, now_s - self._last_s))
        self._last_s = now_s
        cells = gate.cells
        self._note_still(cells, step_s)
        share, why = self._measure(gate, motion, now_s, birds=birds)
        self._cells = cells
        rate = learning_rate(step_s, self.settings.average_s)
        for each in Blindness:
            self._shares[each] += rate * ((share if each is why else 0.0) - self._shares[each])
        self._seconds += step_s
        if share >= self.settings.begin:
            self._blind_s[why] += step_s
        self._decide()

    def spell(self) -> BlindSpell | None:
        """For how much of everything so far birds could hardly be seen; None where that is not worth a word."""
        s, seconds = self.settings, self._seconds
        if seconds < s.least_s:
            return None
        if self._still_s >= s.spell_share * seconds:  # frozen, also where all of it is shorter than `frozen_s`
            return BlindSpell(Blindness.FROZEN, self._still_s, seconds)
        blind_s = sum(self._blind_s.values())
        if blind_s < min(s.spell_s, s.spell_share * seconds):
            return None
        return BlindSpell(max(self._blind_s, key=self._blind_s.__getitem__), blind_s, seconds)

    def _note_still(self, cells: Cells | None, step_s: float) -> None:
        """For how long not one cell has changed."""
        same = cells is not None and self._cells is not None and _are_equal(cells, self._cells)
        before_s, self._still_s = self._still_s, self._still_s + step_s if same else 0.0
        if before_s < self.settings.frozen_s <= self._still_s:
            self._blind_s[Blindness.FROZEN] += before_s  # until now it might have been a calm moment

    def _measure(
        self, gate: MotionDetector, motion: MotionResult, now_s: float, *, birds: bool
    ) -> tuple[float, Blindness]:
        """The share of the picture, 0 … 1, in which birds cannot be seen now, and why they cannot."""
        s = self.settings
        shaking = self._shaken > s.shaking_share * self._weight
        moving = Blindness.SHAKING if shaking else Blindness.RESTLESS
        if self._still_s >= s.frozen_s:
            return 1.0, Blindness.FROZEN
        if motion.learning or motion.global_change:
            return 1.0, moving
        if now_s - self._measured_s >= MEASURE_EVERY_S or now_s < self._measured_s:
            self._measured_s = now_s
            self._insensitive, self._plain = gate.insensitive_share(s.bird_contrast), self._plainness(gate)
            if self._insensitive >= s.begin:
                self._note_shaking(motion.shaken or self._moved_as_one(gate.cells))
        if self._plain is not None:
            return 1.0, self._plain
        lost = motion.foreground_ratio >= gate.settings.lost_share and not motion.regions and not birds
        return (1.0 if lost else self._insensitive), moving

    def _note_shaking(self, shaken: bool) -> None:
        rate = learning_rate(MEASURE_EVERY_S, self.settings.average_s)
        self._shaken += rate * (shaken - self._shaken)
        self._weight += rate * (1.0 - self._weight)

    def _moved_as_one(self, cells: Cells | None) -> bool:
        """Whether the picture moved as a whole since the last frame, further than the gate can undo."""
        if cells is None or self._cells is None or cells.shape != self._cells.shape:
            return False
        window = cv2.createHanningWindow((cells.shape[1], cells.shape[0]), cv2.CV_32F)
        (dx, dy), response = cv2.phaseCorrelate(self._cells.astype(np.float32), cells.astype(np.float32), window)
        return response >= self.settings.as_one and max(abs(dx), abs(dy)) >= self.settings.moved_cells

    def _plainness(self, gate: MotionDetector) -> Blindness | None:
        """Whether the scene has nothing in it that could be hidden by a bird."""
        level = gate.background.level[::SAMPLED, ::SAMPLED]
        low, high = np.percentile(level, (5, 95))
        if high - low >= self.settings.min_spread:
            return None
        return Blindness.DARK if level.mean() < self.settings.dark_level else Blindness.FLAT

    def _decide(self) -> None:
        """Change the verdict where the average has left what it stands for."""
        level = sum(self._shares.values())
        if self.blind is not None and level <= self.settings.end:
            self.blind = None
        elif level >= self.settings.begin:
            main = max(self._shares, key=self._shares.__getitem__)
            if self.blind is None or self._shares[main] >= 2 * self._shares[self.blind]:
                self.blind = main


def _are_equal(one: Cells, other: Cells) -> bool:
    """Whether two frames are the same; nearly always a few of their cells tell that they are not."""
    step = SAMPLED * SAMPLED
    return np.array_equal(one[::step, ::step], other[::step, ::step]) and np.array_equal(one, other)
