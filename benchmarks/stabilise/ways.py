"""The ways that are compared: each is given a reference once, and then finds the shift of one frame after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.stabilise.trials import Luma
from birdwatchd.camera.motion.grid import Grid, halved
from birdwatchd.camera.motion.stabilise import find_shift

__all__ = ["WAYS", "Finder", "Found", "Way"]

Found = tuple[float, float] | None
"""Pixels of the source to the right and down; None where a way has no answer."""
Finder = Callable[[Luma], Found]
"""Finds the shift of one frame, given as it came from `shrink`."""
MOST_FEATURES, FEATURE_QUALITY, FEATURE_DISTANCE = 200, 0.01, 7  # OpenCV's tutorial on optical flow has 100, 0.3 and 7
LEAST_FEATURES = 6
OUTLIER_PX = 1.0  # of the fit, on the picture it is made on


class Way:
    """One way, on pictures of one size.

    Attributes:
        name: for the table.
        halvings: how often the source frame is halved for it; None for as often as the gate does.
    """

    def __init__(
        self, name: str, halvings: int | None, build: Callable[[NDArray[np.float32]], Callable[[Luma], Found]]
    ) -> None:
        """
        Args:
            build: makes a finder of a reference picture, float32; it answers in pixels of its own picture.
        """
        self.name, self.halvings, self._build = name, halvings, build

    def shrink(self, frame: Luma, grid: Grid) -> Luma:
        """The picture that it works on; every way needs one, and the gate has it anyway."""
        times = grid.halvings if self.halvings is None else min(self.halvings, grid.halvings)
        return halved(frame, times) if times else frame

    def finder(self, reference: NDArray[np.float32], grid: Grid) -> Finder:
        """Take the reference frame, float32 of the source's size; what can be prepared once is."""
        times = grid.halvings if self.halvings is None else min(self.halvings, grid.halvings)
        small = reference
        for _ in range(times):
            rows, columns = small.shape[0] >> 1, small.shape[1] >> 1
            even = small[: 2 * rows, : 2 * columns]
            small = np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
        scale, find = float(1 << times), self._build(small)

        def found(picture: Luma) -> Found:
            shift = find(picture)
            return None if shift is None else (scale * shift[0], scale * shift[1])

        return found


def _least_squares(reference: NDArray[np.float32]) -> Finder:
    def find(picture: Luma) -> Found:
        shift = find_shift(picture, reference, None)
        return shift.dx, shift.dy

    return find


def _phase(reference: NDArray[np.float32], *, window: bool) -> Finder:
    rows, columns = map(_transformed, reference.shape)
    hann: Any = cv2.createHanningWindow((columns, rows), cv2.CV_32F) if window else None
    before = np.ascontiguousarray(reference[:rows, :columns])

    def find(picture: Luma) -> Found:
        now = picture[:rows, :columns].astype(np.float32)
        (dx, dy), _ = cv2.phaseCorrelate(before.copy(), now, hann)  # it writes the windowed pictures over its arguments
        return dx, dy

    return find


def _transformed(side: int) -> int:
    """The longest even side that OpenCV transforms without padding: at an odd one its answer is half a pixel off."""
    return next(n for n in range(side & ~1, 0, -2) if cv2.getOptimalDFTSize(n) == n)


def _phase_plain(reference: NDArray[np.float32]) -> Finder:
    return _phase(reference, window=False)


def _phase_hann(reference: NDArray[np.float32]) -> Finder:
    return _phase(reference, window=True)


def _features(reference: NDArray[np.float32]) -> Callable[[Luma], tuple[Any, Any]]:
    """Follow corners of the reference; they are chosen once."""
    before = np.asarray(np.clip(np.rint(reference), 0, 255), np.uint8)
    corners: Any = cv2.goodFeaturesToTrack(before, MOST_FEATURES, FEATURE_QUALITY, FEATURE_DISTANCE)
    if corners is None:
        corners = np.zeros((0, 1, 2), np.float32)

    def follow(picture: Luma) -> tuple[Any, Any]:
        if len(corners) < LEAST_FEATURES:
            return corners[:0, 0], corners[:0, 0]
        nothing: Any = None
        moved, status, _ = cv2.calcOpticalFlowPyrLK(before, picture, corners, nothing)
        good = status.ravel() == 1
        return corners[good, 0], moved[good, 0]

    return follow


def _feature_median(reference: NDArray[np.float32]) -> Finder:
    follow = _features(reference)

    def find(picture: Luma) -> Found:
        before, now = follow(picture)
        if len(before) < LEAST_FEATURES:
            return None
        dx, dy = np.median(now - before, axis=0)
        return float(dx), float(dy)

    return find


def _feature_fit(reference: NDArray[np.float32]) -> Finder:
    follow = _features(reference)
    middle = np.array([reference.shape[1] / 2, reference.shape[0] / 2, 1.0])

    def find(picture: Luma) -> Found:
        before, now = follow(picture)
        if len(before) < LEAST_FEATURES:
            return None
        fit: Any = cv2.estimateAffinePartial2D(before, now, method=cv2.RANSAC, ransacReprojThreshold=OUTLIER_PX)[0]
        if fit is None:
            return None
        x, y = fit @ middle
        return float(x - middle[0]), float(y - middle[1])

    return find


WAYS: Sequence[Way] = (
    Way("least squares on cells (`stabilise.find_shift`)", None, _least_squares),
    Way("phase correlation on cells", None, _phase_plain),
    Way("phase correlation on cells, Hann window", None, _phase_hann),
    Way("phase correlation on the half-size luma", 1, _phase_plain),
    Way("phase correlation on the half-size luma, Hann window", 1, _phase_hann),
    Way("features on cells, median", None, _feature_median),
    Way("features on the half-size luma, median", 1, _feature_median),
    Way("features on the half-size luma, RANSAC fit", 1, _feature_fit),
)
