"""Choose the moments of a visit: the sharpest, largest and whole views of the bird, in different poses.

Classifying every frame would cost too much and prove little: frames that follow each other show the same view. The
moments of one visit are at least 250 ms apart and limited in number; they come soon at first and ever more rarely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.crops import cut_crop, encode_crop, square_around
from birdwatchd.records import Box, Moment

__all__ = ["MomentPicker", "quality_of"]

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
    rgb: NDArray[np.uint8]
    at: datetime
    media_s: float
    box: Box
    quality: float
    pose: NDArray[np.float32]


# Seconds of the windows, one after another, each of which gives its best view: a quick first answer, then ever rarer.
WINDOWS_S = (0.25, 0.4, 0.6, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
CANDIDATES = 25  # frames of a window that are measured, at most
FREE_MOMENTS = 3  # given whatever they show; from then on a moment must be better or another pose
BETTER_RATIO = 1.03  # times the best quality so far
POSE_RATIO = 0.75  # of it, from which on another pose is a moment; a blur is not
SAME_POSE = 0.75  # correlation of two views of the bird from which on the pose is the same
EXPOSURE_S = 1 / 60  # of a camera in daylight shade: what moves by a pixel in this time is blurred by a pixel
BLUR_PX = 4.0  # blur that halves the quality, at 128 px for the whole bird
SHARED_RATIO = 0.6  # of the quality, for a view with another bird in it


@dataclass(slots=True)
class MomentPicker:
    """Choose the moments of one visit: the best view of each of a series of ever longer windows.

    The first ones come soon and always; later ones only when they are better than all before or show another pose.
    """

    max_moments: int
    _best: _Candidate | None = field(default=None, init=False)
    _window_start_s: float | None = field(default=None, init=False)
    _last_offer_s: float = field(default=-1e9, init=False)
    _windows: int = field(default=0, init=False)
    _given: int = field(default=0, init=False)
    _best_quality: float = field(default=0.0, init=False)
    _poses: list[NDArray[np.float32]] = field(default_factory=list, init=False)
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
        return not 0 <= now_s - self._last_offer_s < self._window_s / CANDIDATES

    def offer(self, frame: Frame, box: Box, now_s: float, *, speed: float = 0.0, alone: bool = True) -> None:
        """Show a frame that has the bird in `box`; it is cropped only if it beats what the window has.

        Args:
            speed: of the bird, frame widths per second; it blurs what it moves.
            alone: no other bird is in the box.
        """
        if not self.would_measure(frame.at, now_s):
            return
        self._last_offer_s = now_s
        if self._window_start_s is None:
            self._window_start_s = now_s
        quality = quality_of(frame.luma, box)
        size = max(box.w * frame.width, box.h * frame.height, 1.0)
        blur = speed * frame.width * EXPOSURE_S * min(1.0, 128 / size)
        quality *= (1.0 if alone else SHARED_RATIO) / (1.0 + blur / BLUR_PX)
        if self._best is None or quality > self._best.quality:
            pose = _pose(frame.luma, box)
            self._best = _Candidate(cut_crop(frame, box), frame.at, frame.media_s, box, quality, pose)

    def due(self, now_s: float, *, ending: bool = False) -> Moment | None:
        """The window's best view as a moment, once the window is over or the visit ends."""
        if self._best is None or self._window_start_s is None:
            return None
        if not ending and now_s - self._window_start_s < self._window_s:
            return None
        best = self._best
        self._best, self._window_start_s = None, None
        self._windows += 1
        if not self._is_worth_it(best):
            return None
        self._last_at = best.at
        self._best_quality = max(self._best_quality, best.quality)
        self._poses.append(best.pose)
        self._given += 1
        return Moment(self._given - 1, best.at, best.box, best.quality, encode_crop(best.rgb), best.media_s)

    @property
    def _window_s(self) -> float:
        return WINDOWS_S[min(self._windows, len(WINDOWS_S) - 1)]

    def _is_worth_it(self, candidate: _Candidate) -> bool:
        if self._given < FREE_MOMENTS or candidate.quality > BETTER_RATIO * self._best_quality:
            return True
        correlation = max(float((candidate.pose * pose).mean()) for pose in self._poses)
        return correlation < SAME_POSE and candidate.quality > POSE_RATIO * self._best_quality


def _pose(luma: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """The bird at 16 × 16, zero mean and unit spread: two of them multiplied and averaged are their correlation."""
    height, width = luma.shape
    rect = square_around(box, width, height, margin=0.0)
    part = luma[rect.top : rect.bottom, rect.left : rect.right]
    small = cv2.resize(part, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray((small - small.mean()) / (small.std() + 1.0), np.float32)
