"""Crop birds out of full-resolution frames, in colour, and encode the crops as JPEG.

The network sees squares with a margin, inside the frame; the picture that is kept shows more around them, for people.
Only a crop's own rectangle is converted to colour, with the colour matrix and range that the stream declares:
converting whole frames would cost as much as decoding them.
No other module makes pictures of frames, so none leaves this one without its privacy mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.mask import PrivacyMask
from birdwatchd.records import Box, Crop
from birdwatchd.seen_part import PixelRect, with_mark

__all__ = [
    "Cut",
    "PictureSettings",
    "PixelRect",
    "cut_crop",
    "encode_crop",
    "encode_frame",
    "encode_live",
    "picture_of",
    "square_around",
    "whole_frame",
]

MARGIN = 0.2  # of the bird's longer side, on each side: the classifier was trained with some air around the bird
PICTURE_MARGIN = 0.5  # the same of the picture that is kept: the box of what moves often leaves out a tail or a head
MIN_SIDE = 48  # pixels; a smaller crop holds too little around a tiny bird to be judged by a person
MAX_SIDE = 640  # pixels of what the network sees: 384 are classified, the rest is for people
BLOCK = 8  # pixels; a JPEG is made of such blocks, and what the network sees begins with one (see `cut_crop`)
JPEG_QUALITY = 94
FRAME_QUALITY = 88  # of whole frames, which are for people: a fifth of the bytes
LIVE_SIDE, LIVE_QUALITY = 640, 75  # pixels of a live picture at most, and its quality: some 40 kB

NO_MASK = PrivacyMask()


@dataclass(frozen=True, slots=True)
class PictureSettings:
    """What pictures of a camera show.

    Attributes:
        mask: places that are black in all of them.
        whole_frames: each moment gets the whole frame beside its crop.
    """

    mask: PrivacyMask = NO_MASK
    whole_frames: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A bird, cut out of a frame.

    Attributes:
        rgb: uint8 RGB, shape (height, width, 3).
        seen: the part of it that the network sees.
    """

    rgb: NDArray[np.uint8]
    seen: PixelRect


def square_around(box: Box, width: int, height: int, margin: float = MARGIN, least: float = MIN_SIDE) -> PixelRect:
    """The square that shows the bird in `box` with a margin, moved (not cut) to lie inside the frame.

    It is as high as wide unless the frame itself is smaller than the square needs to be; then it is cut to the frame.

    Args:
        box: the bird, fractions of the frame.
        width, height: pixels of the frame.
        margin: of the bird's longer side, added on each side.
        least: pixels of its side at least.
    """
    side = max(box.w * width, box.h * height) * (1 + 2 * margin)
    side = max(side, least)
    w, h = min(round(side), width), min(round(side), height)
    left = round((box.x + box.w / 2) * width - w / 2)
    top = round((box.y + box.h / 2) * height - h / 2)
    left, top = min(max(left, 0), width - w), min(max(top, 0), height - h)
    return PixelRect(left, top, left + w, top + h)


def cut_crop(frame: Frame, box: Box, mask: PrivacyMask = NO_MASK) -> Cut:
    """The bird in colour, masked, with more around it than the network sees; a copy.

    The network must see what it would see if that were cut out alone, at most MAX_SIDE a side. So it is converted and
    shrunk by itself, and begins with a block of the JPEG, which what is around it then does not change.
    """
    inner = square_around(box, frame.width, frame.height)
    outer = _surroundings(box, inner, frame.width, frame.height)
    scale = min(1.0, MAX_SIDE / max(inner.width, inner.height))
    width, height = round(inner.width * scale), round(inner.height * scale)
    left, before = _whole_blocks(inner.left - outer.left, scale)
    top, above = _whole_blocks(inner.top - outer.top, scale)
    right, below = round((outer.right - inner.right) * scale), round((outer.bottom - inner.bottom) * scale)
    rect = PixelRect(inner.left - before, inner.top - above, outer.right, outer.bottom)
    rgb = _shrunk(_masked_part(frame, rect, mask), left + width + right, top + height + below)
    seen = PixelRect(left, top, left + width, top + height)
    rgb[seen.top : seen.bottom, seen.left : seen.right] = _shrunk(_masked_part(frame, inner, mask), width, height)
    return Cut(rgb, seen)


def _surroundings(box: Box, inner: PixelRect, width: int, height: int) -> PixelRect:
    """The square that is kept: around the bird too, moved to lie inside the frame, with all that the network sees."""
    wider = square_around(box, width, height, PICTURE_MARGIN, MIN_SIDE * (1 + 2 * PICTURE_MARGIN) / (1 + 2 * MARGIN))
    left, top = min(wider.left, inner.left), min(wider.top, inner.top)
    return PixelRect(left, top, max(wider.right, inner.right), max(wider.bottom, inner.bottom))


def _whole_blocks(room: int, scale: float) -> tuple[int, int]:
    """How many pixels are kept before what the network sees, and how many of the frame they are made of.

    Args:
        room: pixels of the frame that may be kept there.
    """
    kept = int(room * scale) // BLOCK * BLOCK
    return kept, min(room, round(kept / scale))


def _shrunk(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A copy of this size, at most its own."""
    if rgb.shape[:2] == (height, width):
        return rgb.copy()  # it may be the decoder's memory
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def whole_frame(frame: Frame, mask: PrivacyMask) -> NDArray[np.uint8]:
    """All of a frame in colour, masked: uint8 RGB, shape (height, width, 3); a copy."""
    return _masked_part(frame, PixelRect(0, 0, frame.width, frame.height), mask)


def picture_of(av_frame: Any, mask: PrivacyMask, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """All of a decoded frame as it is drawn on for people, masked: uint8 BGR, shape (height, width, 3); a copy.

    Args:
        av_frame: PyAV's, in system memory.
        size: (width, height) in pixels; the frame's own by default.
    """
    width, height = size or (av_frame.width, av_frame.height)
    picture = np.array(av_frame.reformat(width=width, height=height, format="bgr24").to_ndarray(), np.uint8)
    mask.blacken(picture, (width, height))
    return picture


def encode_crop(cut: Cut) -> Crop:
    """Encode a crop as JPEG without colour subsampling, and mark in it what the network sees."""
    height, width = cut.rgb.shape[:2]
    jpeg = _encoded(cut.rgb, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return Crop(with_mark(jpeg, cut.seen, width, height), width, height)


def encode_frame(rgb: NDArray[np.uint8]) -> bytes:
    """Encode a whole frame as JPEG; `rgb` is uint8, shape (height, width, 3)."""
    return _encoded(rgb, FRAME_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)


def encode_live(frame: Frame, masks: Sequence[PrivacyMask]) -> tuple[bytes, int, int]:
    """All of a frame as a small JPEG that is looked at and never kept, and its width and height in pixels."""
    scale = min(1.0, LIVE_SIDE / max(frame.width, frame.height))
    width, height = max(2, round(frame.width * scale)), max(2, round(frame.height * scale))
    picture = picture_of(frame.av_frame, NO_MASK, (width, height))
    for mask in masks:
        mask.blacken(picture, (width, height))
    jpeg = _encoded(np.ascontiguousarray(picture[:, :, ::-1]), LIVE_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    return jpeg, width, height


def _encoded(rgb: NDArray[np.uint8], quality: int, sampling: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    assert ok  # an RGB array of whole pixels can always be encoded
    return data.tobytes()


# Kr, Kb of ITU-R BT.601 and BT.709; libav's colorspace numbers (AVColorSpace) in front.
_BT601, _BT709 = (0.299, 0.114), (0.2126, 0.0722)
_MATRIX = {1: _BT709, 4: _BT601, 5: _BT601, 6: _BT601, 7: (0.212, 0.087)}
_SUBSAMPLED = {"yuv420p": (2, 2), "yuvj420p": (2, 2), "nv12": (2, 2), "yuv422p": (2, 1), "yuvj422p": (2, 1)} | {
    "yuv444p": (1, 1),
    "yuvj444p": (1, 1),
}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def _masked_part(frame: Frame, rect: PixelRect, mask: PrivacyMask) -> NDArray[np.uint8]:
    """One rectangle of a frame as RGB; the masked pixels in it are black."""
    rgb = _rgb_part(frame.av_frame, frame.luma, rect)
    if mask:
        rgb = rgb.copy()  # it may be the decoder's memory, from which later frames are predicted
        mask.blacken(rgb, (frame.width, frame.height), rect.left, rect.top)
    return rgb


def _rgb_part(av_frame: Any, luma: NDArray[np.uint8], rect: PixelRect) -> NDArray[np.uint8]:
    """Convert one rectangle of a frame to RGB."""
    name = av_frame.format.name
    y = luma[rect.top : rect.bottom, rect.left : rect.right]
    if name == "gray":
        return np.repeat(y[:, :, None], 3, axis=2)
    if name not in _SUBSAMPLED:  # packed and rare formats: let libav convert the whole frame
        whole: NDArray[np.uint8] = av_frame.to_ndarray(format="rgb24")
        return np.ascontiguousarray(whole[rect.top : rect.bottom, rect.left : rect.right])
    across, down = _SUBSAMPLED[name]
    chroma = [_upsampled(plane, rect, across, down) for plane in _chroma(av_frame, name, luma.shape, across, down)]
    full = name.startswith("yuvj") or int(av_frame.color_range) == _FULL_RANGE
    kr, kb = _MATRIX.get(int(av_frame.colorspace), _BT709 if av_frame.height > 576 else _BT601)
    return np.asarray(cv2.transform(cv2.merge([y, *chroma]), _to_rgb(kr, kb, full)), np.uint8)


def _chroma(
    av_frame: Any, name: str, shape: tuple[int, ...], across: int, down: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The two colour planes, uint8 (height / down, width / across), without the padding of their rows."""
    rows, columns = -(-shape[0] // down), -(-shape[1] // across)

    def plane(number: int, width: int) -> NDArray[np.uint8]:
        memory = av_frame.planes[number]
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
