"""Choose the moments of a visit: its looks at the bird, each the best frame of a short while.

Whether a frame names the bird shows only when the network has seen it, so a visit has many moments: one every 0.3 s at
first, then ever more rarely, until `max_moments` are spread over five minutes. Frames that follow each other show the
same view; of these the cheap measure of `quality_of` takes the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.crops import (
    Cut,
    PictureSettings,
    cut_crop,
    encode_crop,
    encode_frame,
    square_around,
    whole_frame,
)
from birdwatchd.records import Box, Moment

__all__ = ["MomentPicker", "quality_of", "window_s"]

PLAIN = PictureSettings()
MIN_GAP_S = 0.25  # moments closer than this show the same pose and are not independent


def quality_of(luma: NDArray[np.uint8], box: Box) -> float:
    """How well this frame shows the bird, 0 … 1.

    Half sharpness (mean absolute Laplacian over contrast, at a fixed scale), half size (1 at 256 px); a bird that
    touches the frame's edge counts a third, because part of it is missing.

    Args:
        luma: uint8 (height, width) of the whole frame.
        box: the bird, fractions of the frame.
    """
    height, width = luma.shape
    rect = square_around(box, width, height, margin=0.0)
    part = luma[rect.top : rect.bottom, rect.left : rect.right]
    longest = max(part.shape)
    scale = 128 / longest
    if scale < 1:
        part = np.asarray(cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    edges = cv2.Laplacian(part, cv2.CV_16S, ksize=1)
    contrast = float(cv2.meanStdDev(part)[1][0, 0])
    sharp = min(1.0, cv2.norm(edges, cv2.NORM_L1) / edges.size / (0.35 * contrast + 4.0))
    size = min(1.0, (box.w * width * box.h * height) ** 0.5 / 256)
    touching = (
        box.x * width <= 2
        or box.y * height <= 2
        or (box.x + box.w) * width >= width - 2
        or (box.y + box.h) * height >= height - 2
    )
    return float((0.5 * sharp + 0.5 * size) * (0.33 if touching else 1.0))


@dataclass(slots=True)
class _Candidate:
    cut: Cut
    whole: NDArray[np.uint8] | None
    at: datetime
    media_s: float
    box: Box
    quality: float


FIRST_WINDOW_S = 0.25  # a quick first answer
DENSE_WINDOW_S = 0.3  # of the first half of a visit's moments
SPREAD_S = 300.0  # over which all of them are spread
PER_SECOND = 4  # moments of a camera's birds together, beyond the first of each
CANDIDATES = 25  # frames of a window that are measured, at most
SHARED_RATIO = 0.6  # of the quality, for a view with another bird in it


def window_s(number: int, max_moments: int) -> float:
    """Seconds in which the best frame is looked for, for moment `number` (0, 1, 2 …) of `max_moments`.

    Half of the moments follow each other closely; each later one waits longer than the one before by the same factor.
    """
    if number == 0:
        return FIRST_WINDOW_S
    dense = (max_moments + 1) // 2
    if number < dense:
        return DENSE_WINDOW_S
    before_s = dense * DENSE_WINDOW_S
    factor = (SPREAD_S / before_s) ** (1 / (max_moments - dense))
    return float(before_s * factor ** (number - dense) * (factor - 1))


@dataclass(slots=True)
class MomentPicker:
    """Choose the moments of one visit: the best view of each of a series of windows (`window_s`)."""

    max_moments: int
    pictures: PictureSettings = PLAIN
    _best: _Candidate | None = field(default=None, init=False)
    _window_start_s: float = field(default=-1e9, init=False)
    _last_offer_s: float = field(default=-1e9, init=False)
    _given: int = field(default=0, init=False)
    _last_at: datetime | None = field(default=None, init=False)

    @property
    def needs_more(self) -> bool:
        """Whether another frame could still become a moment."""
        return self._given < self.max_moments

    @property
    def has_moment(self) -> bool:
        """Whether it gave a moment, or could give one."""
        return self._given > 0 or self._best is not None

    def would_measure(self, at: datetime, now_s: float) -> bool:
        """Whether a frame of this time is measured at all.

        Args:
            at: the frame's wall time.
            now_s: the same on the frames' clock.
        """
        if not self.needs_more:
            return False
        if self._last_at is not None and abs((at - self._last_at).total_seconds()) < MIN_GAP_S:
            return False
        # a bird that stays is measured only now and then
        return not 0 <= now_s - self._last_offer_s < window_s(self._given, self.max_moments) / CANDIDATES

    def offer(
        self, frame: Frame, box: Box, now_s: float, *, alone: bool = True, whole: Callable[[Box], Box] | None = None
    ) -> None:
        """Show a frame that has the bird in `box`; it is cropped only if it beats what the window has.

        Args:
            alone: no other bird is in the box.
            whole: gives the place to cut out for a box that may hold only a part of the bird; the box by default.
        """
        if not self.would_measure(frame.at, now_s):
            return
        self._last_offer_s = now_s
        if self._best is None and self._is_over(now_s):
            self._window_start_s = now_s  # the first frame, or the first after the bird was out of sight
        quality = quality_of(frame.luma, box) * (1.0 if alone else SHARED_RATIO)
        if self._best is None or quality > self._best.quality:
            cut = cut_crop(frame, whole(box) if whole else box, self.pictures.mask)
            all_of_it = whole_frame(frame, self.pictures.mask) if self.pictures.whole_frames else None
            self._best = _Candidate(cut, all_of_it, frame.at, frame.media_s, box, quality)

    def due(self, now_s: float, *, birds: int = 1, ending: bool = False) -> Moment | None:
        """The window's best view as a moment, once the window is over or the visit ends.

        Args:
            birds: that are there now and share what a camera may ask of the network; the first moment waits for none.
        """
        if self._best is None or not (ending or self._is_over(now_s, birds)):
            return None
        best = self._best
        self._best, self._window_start_s = None, now_s
        self._last_at = best.at
        self._given += 1
        whole = encode_frame(best.whole) if best.whole is not None else b""
        return Moment(self._given - 1, best.at, best.box, best.quality, encode_crop(best.cut), best.media_s, whole)

    def _is_over(self, now_s: float, birds: int = 1) -> bool:
        shared_s = birds / PER_SECOND if self._given else 0.0
        return now_s - self._window_start_s >= max(window_s(self._given, self.max_moments), shared_s)
