"""Cut the best pictures of a bird out of full-resolution frames.

A crop is square, has a margin, stays inside the frame and is converted to colour only for its own rectangle, with
the colour matrix and range that the stream declares. Crops are ranked by sharpness, size and not touching the edge;
the moments of one visit are at least 250 ms apart and limited in number, early ones soon, later ones ever rarer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.capture.stream import Frame
from birdwatchd.records import Box, Crop, Moment

__all__ = ["MomentPicker", "PixelRect", "crop_picture", "quality_of", "square_around"]

MARGIN = 0.2  # of the bird's longer side, on each side: the classifier was trained with some air around the bird
MIN_SIDE = 48  # pixels; a smaller crop holds too little around a tiny bird to be judged by a person
MAX_SIDE = 640  # pixels of the stored picture: 384 are classified, the rest is for people
JPEG_QUALITY = 94
MIN_GAP_S = 0.25  # moments closer than this show the same pose and are not independent


@dataclass(frozen=True, slots=True)
class PixelRect:
    """Whole pixels: left, top, right and bottom (exclusive)."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.bottom - self.top


def square_around(box: Box, width: int, height: int, margin: float = MARGIN) -> PixelRect:
    """The square that shows the bird in `box` with a margin, moved (not cut) to lie inside the frame.

    It is as high as wide unless the frame itself is smaller than the square needs to be; then it is cut to the frame.

    Args:
        box: the bird, fractions of the frame.
        width, height: pixels of the frame.
        margin: of the bird's longer side, added on each side.
    """
    side = max(box.w * width, box.h * height) * (1 + 2 * margin)
    side = max(side, MIN_SIDE)
    w, h = min(round(side), width), min(round(side), height)
    left = round((box.x + box.w / 2) * width - w / 2)
    top = round((box.y + box.h / 2) * height - h / 2)
    left, top = min(max(left, 0), width - w), min(max(top, 0), height - h)
    return PixelRect(left, top, left + w, top + h)


def quality_of(luma: NDArray[np.uint8], box: Box) -> float:
    """How good a picture of the bird this frame gives, 0 … 1.

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


def crop_picture(frame: Frame, box: Box) -> NDArray[np.uint8]:
    """The bird in colour: uint8 RGB, shape (side, side, 3), side at most MAX_SIDE; a copy."""
    rect = square_around(box, frame.width, frame.height)
    rgb = _colour(frame.picture, frame.luma, rect)
    longest = max(rgb.shape[:2])
    if longest > MAX_SIDE:
        size = (round(rgb.shape[1] * MAX_SIDE / longest), round(rgb.shape[0] * MAX_SIDE / longest))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return rgb


def encode_crop(rgb: NDArray[np.uint8]) -> Crop:
    """Encode an RGB picture as JPEG without colour subsampling."""
    ok, data = cv2.imencode(
        ".jpg",
        cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR),
        [
            cv2.IMWRITE_JPEG_QUALITY,
            JPEG_QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ],
    )
    assert ok  # an RGB array of whole pixels can always be encoded
    return Crop(data.tobytes(), rgb.shape[1], rgb.shape[0])


# Kr, Kb of ITU-R BT.601 and BT.709; libav's colorspace numbers (AVColorSpace) in front.
_BT601, _BT709 = (0.299, 0.114), (0.2126, 0.0722)
_MATRIX = {1: _BT709, 4: _BT601, 5: _BT601, 6: _BT601, 7: (0.212, 0.087)}
_SUBSAMPLED = {"yuv420p": (2, 2), "yuvj420p": (2, 2), "nv12": (2, 2), "yuv422p": (2, 1), "yuvj422p": (2, 1)} | {
    "yuv444p": (1, 1),
    "yuvj444p": (1, 1),
}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def _colour(picture: Any, luma: NDArray[np.uint8], rect: PixelRect) -> NDArray[np.uint8]:
    """Convert one rectangle of a frame to RGB."""
    name = picture.format.name
    y = luma[rect.top : rect.bottom, rect.left : rect.right]
    if name == "gray":
        return np.repeat(y[:, :, None], 3, axis=2)
    if name not in _SUBSAMPLED:  # packed and rare formats: let libav convert the whole picture
        whole: NDArray[np.uint8] = picture.to_ndarray(format="rgb24")
        return np.ascontiguousarray(whole[rect.top : rect.bottom, rect.left : rect.right])
    across, down = _SUBSAMPLED[name]
    chroma = [_upsampled(plane, rect, across, down) for plane in _chroma(picture, name, luma.shape, across, down)]
    full = name.startswith("yuvj") or int(picture.color_range) == _FULL_RANGE
    kr, kb = _MATRIX.get(int(picture.colorspace), _BT709 if picture.height > 576 else _BT601)
    return np.asarray(cv2.transform(cv2.merge([y, *chroma]), _to_rgb(kr, kb, full)), np.uint8)


def _chroma(
    picture: Any, name: str, shape: tuple[int, ...], across: int, down: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The two colour planes, uint8 (height / down, width / across), without the padding of their rows."""
    rows, columns = -(-shape[0] // down), -(-shape[1] // across)

    def plane(number: int, width: int) -> NDArray[np.uint8]:
        memory = picture.planes[number]
        flat: NDArray[np.uint8] = np.frombuffer(memory, np.uint8).reshape(-1, memory.line_size)
        return flat[:rows, :width]

    if name == "nv12":
        both = plane(1, 2 * columns)
        return both[:, 0::2], both[:, 1::2]
    return plane(1, columns), plane(2, columns)


def _upsampled(plane: NDArray[np.uint8], rect: PixelRect, across: int, down: int) -> NDArray[np.uint8]:
    """The part of a colour plane under `rect`, at the resolution of the luma plane."""
    left, top = rect.left // across, rect.top // down
    part = plane[top : -(-rect.bottom // down), left : -(-rect.right // across)]
    if (across, down) == (1, 1):
        return part
    size = (part.shape[1] * across, part.shape[0] * down)
    wide = cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_LINEAR)
    dx, dy = rect.left - left * across, rect.top - top * down
    return np.asarray(wide[dy : dy + rect.height, dx : dx + rect.width], np.uint8)


def _to_rgb(kr: float, kb: float, full: bool) -> NDArray[np.float32]:
    """3 × 4 matrix from (Y, Cb, Cr, 1) to RGB, all 0 … 255 (ITU-R BT.601-7 and BT.709-6, section on quantisation)."""
    kg = 1.0 - kr - kb
    gain_y, gain_c, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    rows = [
        (gain_y, 0.0, gain_c * 2 * (1 - kr)),
        (gain_y, -gain_c * 2 * (1 - kb) * kb / kg, -gain_c * 2 * (1 - kr) * kr / kg),
        (gain_y, gain_c * 2 * (1 - kb), 0.0),
    ]
    return np.array([(y, cb, cr, -black * y - 128 * (cb + cr)) for y, cb, cr in rows], np.float32)


@dataclass(slots=True)
class _Candidate:
    rgb: NDArray[np.uint8]
    at: datetime
    media_s: float
    box: Box
    quality: float
    pose: NDArray[np.float32]


# Seconds of each look-out for the best picture, one after another: a quick first answer, then ever rarer.
WINDOWS_S = (0.25, 0.4, 0.6, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
CANDIDATES = 25  # pictures of a window that are measured, at most
ALWAYS = 3  # moments given whatever they show; from then on a moment must be better or another pose
BETTER = 1.03  # times the best quality so far
WORSE = 0.75  # of it: another pose is worth this much less, but not a blur
OTHER_POSE = 0.75  # correlation of two pictures of the bird below which the pose is another
EXPOSURE_S = 1 / 60  # of a camera in daylight shade: what moves by a pixel in this time is blurred by a pixel
BLUR_PX = 4.0  # blur that halves the worth of a picture, at 128 px for the whole bird
SHARED = 0.6  # worth of a picture that has another bird in it


@dataclass(slots=True)
class MomentPicker:
    """Choose the moments of one visit: the best picture of each of a series of ever longer windows.

    The first ones come soon and always; later ones only when they are better than all before or show another pose.
    """

    max_moments: int
    _best: _Candidate | None = field(default=None, init=False)
    _opened: float | None = field(default=None, init=False)
    _offered: float = field(default=-1e9, init=False)
    _windows: int = field(default=0, init=False)
    _given: int = field(default=0, init=False)
    _best_given: float = field(default=0.0, init=False)
    _poses: list[NDArray[np.float32]] = field(default_factory=list, init=False)
    _last_at: datetime | None = field(default=None, init=False)

    @property
    def wants_more(self) -> bool:
        """Whether another picture could still become a moment."""
        return self._given < self.max_moments

    @property
    def has_something(self) -> bool:
        """Whether it gave a moment, or has a picture for one."""
        return self._given > 0 or self._best is not None

    def would_look(self, taken_at: datetime, at: float) -> bool:
        """Whether a picture of this time is looked at at all.

        Args:
            taken_at: the frame's wall time.
            at: the same on the camera's clock, seconds.
        """
        if not self.wants_more:
            return False
        if self._last_at is not None and abs((taken_at - self._last_at).total_seconds()) < MIN_GAP_S:
            return False
        return not 0 <= at - self._offered < self._window / CANDIDATES  # a bird that stays is not always measured

    def offer(self, frame: Frame, box: Box, at: float, *, speed: float = 0.0, alone: bool = True) -> None:
        """Show a frame that has the bird in `box`; the picture is cut only if it beats what the window has.

        Args:
            speed: of the bird, frame widths per second; it blurs what it moves.
            alone: no other bird is in the box.
        """
        if not self.would_look(frame.at, at):
            return
        self._offered = at
        if self._opened is None:
            self._opened = at
        quality = quality_of(frame.luma, box)
        size = max(box.w * frame.width, box.h * frame.height, 1.0)
        blur = speed * frame.width * EXPOSURE_S * min(1.0, 128 / size)
        quality *= (1.0 if alone else SHARED) / (1.0 + blur / BLUR_PX)
        if self._best is None or quality > self._best.quality:
            pose = _pose(frame.luma, box)
            self._best = _Candidate(crop_picture(frame, box), frame.at, frame.media_s, box, quality, pose)

    def due(self, at: float, *, ending: bool = False) -> Moment | None:
        """The window's best picture as a moment, once the window is over or the visit ends."""
        if self._best is None or self._opened is None:
            return None
        if not ending and at - self._opened < self._window:
            return None
        best = self._best
        self._best, self._opened = None, None
        self._windows += 1
        if not self._worth_it(best):
            return None
        self._last_at = best.at
        self._best_given = max(self._best_given, best.quality)
        self._poses.append(best.pose)
        self._given += 1
        return Moment(self._given - 1, best.at, best.box, best.quality, encode_crop(best.rgb), best.media_s)

    @property
    def _window(self) -> float:
        return WINDOWS_S[min(self._windows, len(WINDOWS_S) - 1)]

    def _worth_it(self, candidate: _Candidate) -> bool:
        if self._given < ALWAYS or candidate.quality > BETTER * self._best_given:
            return True
        likeness = max(float((candidate.pose * pose).mean()) for pose in self._poses)
        return likeness < OTHER_POSE and candidate.quality > WORSE * self._best_given


def _pose(luma: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """The bird at 16 × 16, zero mean and unit spread: two of them multiplied and averaged are their correlation."""
    height, width = luma.shape
    rect = square_around(box, width, height, margin=0.0)
    part = luma[rect.top : rect.bottom, rect.left : rect.right]
    small = cv2.resize(part, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray((small - small.mean()) / (small.std() + 1.0), np.float32)
