"""Turn decoded pictures as they are to be shown: what the stream says of itself, and what the camera's settings say.

A phone on its side, a camera that hangs from the roof, a recorder that squeezes its picture into half the width: their
decoded pixels are not what a person sees. All that looks at frames looks at them as they are shown here, so that boxes,
crops, masks, zones and sheets are fractions of one and the same picture.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.settings.cameras import CameraSettings

__all__ = ["PLAIN", "UPRIGHT", "Display", "Orientation", "as_shown", "for_frame", "matrix_of", "orientation_in"]

ONE = 1 << 16  # of the fixed-point numbers in a display matrix (ISO/IEC 14496-12)
SQUARE = 0.02  # pixels that differ less from squares are squares
MOST_STRETCHED = 4  # times; more is a mistake of whoever wrote it
_TURNS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
_UNSPECIFIED, _BT709, _BT470BG, _FULL = 2, 1, 5, 2  # libav's numbers: colour spaces, and the full range


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a picture lies: it is mirrored first, left to right, where it is mirrored at all, and then turned.

    Attributes:
        turns: quarter turns, clockwise.
    """

    turns: int = 0
    mirrored: bool = False

    def then(self, turns: int, mirrored: bool) -> Orientation:
        """What comes of it when the result is turned, and then mirrored left to right."""
        total = self.turns + turns
        return Orientation((-total if mirrored else total) % 4, self.mirrored != mirrored)


UPRIGHT = Orientation()


@dataclass(frozen=True, slots=True)
class Display:
    """From decoded pictures to shown ones. Where a frame itself says how it lies, that replaces `own`.

    Attributes:
        own: how the container says that the picture lies.
        turns, mirrored: what is done besides, by the camera's settings.
        aspect: width of a pixel by its height.
        crop: left, top, right and bottom of what is shown, fractions of the picture as it is by then.
    """

    own: Orientation = UPRIGHT
    turns: int = 0
    mirrored: bool = False
    aspect: Fraction = Fraction(1)
    crop: tuple[float, float, float, float] | None = None

    @classmethod
    def of(cls, settings: CameraSettings, aspect: Fraction | None, own: Orientation = UPRIGHT) -> Display:
        """What a camera's settings ask for, given what its stream says."""
        return cls(own, settings.rotate // 90, settings.mirror, usable_aspect(aspect), settings.crop)

    @property
    def orientation(self) -> Orientation:
        """How the decoded picture is turned, all in all."""
        return self.own.then(self.turns, self.mirrored)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of what is shown of a decoded picture of that size; even, unless it is shown as it is."""
        if self.is_nothing or not width:
            return width, height
        wide, high = self.stretched(width, height)
        left, top, right, bottom = self.cut(wide, high)
        return right - left, bottom - top

    @property
    def is_nothing(self) -> bool:
        """Whether pictures are shown as they are decoded."""
        return self.orientation == UPRIGHT and self.aspect == 1 and self.crop is None

    def stretched(self, width: int, height: int) -> tuple[int, int]:
        """The size of the whole picture, turned, with square pixels: the narrower side of a pixel is enlarged."""
        wide = round(width * max(self.aspect, Fraction(1)))
        high = round(height / min(self.aspect, Fraction(1)))
        return (high, wide) if self.orientation.turns % 2 else (wide, high)

    def cut(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The part that is shown of a picture of that size, in even pixels."""
        left, top, right, bottom = self.crop or (0.0, 0.0, 1.0, 1.0)
        first = _even(left * width), _even(top * height)
        return (
            *first,
            max(first[0] + 2, _even(right * width + 0.5)),
            max(first[1] + 2, _even(bottom * height + 0.5)),
        )


PLAIN = Display()
_SAID: dict[int, Orientation] = {}  # what frames of this process, which watches one camera, said of themselves


def usable_aspect(aspect: Fraction | None) -> Fraction:
    """A pixel's aspect, unless it is none, or as good as a square."""
    if not aspect or not 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED or abs(aspect - 1) < SQUARE:
        return Fraction(1)
    return Fraction(aspect)


def orientation_in(av_frame: Any) -> Orientation | None:
    """How a frame says that it lies; None where it says nothing."""
    found = av_frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    a, b, _, c, d = struct.unpack_from("5i", bytes(found))
    mirrored = a * d - b * c < 0
    turns = round(math.atan2(-b if mirrored else b, -a if mirrored else a) / (math.pi / 2)) % 4
    return Orientation(turns, mirrored)


def matrix_of(orientation: Orientation, width: int, height: int) -> list[int]:
    """The display matrix of a picture of that size, as libav and MP4 write it."""
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[orientation.turns]
    across = -1 if orientation.mirrored else 1
    a, b, c, d = cos * across, sin * across, -sin, cos
    left, top = min(0, a * width) + min(0, c * height), min(0, b * width) + min(0, d * height)
    return [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, -left * ONE, -top * ONE, 1 << 30]


def _planes_of(av_frame: Any) -> list[NDArray[np.uint8]]:
    """Luma, and where there is colour both planes of it, of a gray or planar frame; views of uint8 (height, width)."""
    planes = []
    for plane in av_frame.planes:
        rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        planes.append(rows[: plane.height, : plane.width])
    return planes


def as_shown(av_frame: Any, display: Display) -> Any:
    """A decoded frame in system memory as it is to be shown.

    The same frame where nothing is to be done; else a copy in yuv420p, or in gray of a gray one.

    Args:
        display: that of this frame, see `for_frame`.
    """
    if display.is_nothing:
        return av_frame
    colourspace, full = int(av_frame.colorspace), int(av_frame.color_range) == _FULL
    name = av_frame.format.name
    if name not in ("yuv420p", "yuvj420p", "gray"):
        source = av_frame.reformat(format="yuv420p")
    else:
        source, full = av_frame, full or name == "yuvj420p"
    width, height = display.size(source.width, source.height)
    turned = [
        _turned(plane, display, (source.width, source.height), 1 if number == 0 else 2)
        for number, plane in enumerate(_planes_of(source))
    ]
    packed = np.concatenate([plane.reshape(-1) for plane in turned])
    shape = (height * 3 // 2, width) if len(turned) == 3 else (height, width)
    upright = av.VideoFrame.from_ndarray(packed.reshape(shape), format="yuv420p" if len(turned) == 3 else "gray")
    if colourspace == _UNSPECIFIED:  # whoever converts it would go by its height, which is another one now
        colourspace = _BT709 if source.height > 576 else _BT470BG
    upright.colorspace, upright.color_range = colourspace, _FULL if full else 1
    return upright


def for_frame(av_frame: Any, display: Display) -> Display:
    """The display of a frame that may say itself how it lies."""
    degrees = (
        av_frame.rotation
    )  # PyAV's `side_data` is not asked for every frame: it keeps each alive until a collection
    if degrees == 0 or degrees == _degrees(display.own):
        return display
    if degrees not in _SAID:
        _SAID[degrees] = orientation_in(av_frame) or UPRIGHT
    own = _SAID[degrees]
    return Display(own, display.turns, display.mirrored, display.aspect, display.crop)


def _degrees(orientation: Orientation) -> int:
    """What PyAV calls the rotation of a frame that lies so."""
    a, b, *_ = matrix_of(orientation, 0, 0)
    return round(math.degrees(math.atan2(b, a)) * -1)


def _turned(plane: NDArray[np.uint8], display: Display, size: tuple[int, int], share: int) -> NDArray[np.uint8]:
    """One plane, as it is to be shown.

    Args:
        size: (width, height) of the decoded picture, pixels.
        share: pixels of the picture for one of this plane, along each side.
    """
    orientation = display.orientation
    if orientation.mirrored:
        plane = np.asarray(cv2.flip(plane, 1), np.uint8)
    if (turn := _TURNS[orientation.turns]) is not None:
        plane = np.asarray(cv2.rotate(plane, turn), np.uint8)
    wide, high = display.stretched(*size)
    if display.aspect != 1:
        plane = np.asarray(cv2.resize(plane, (-(-wide // share), -(-high // share))), np.uint8)
    left, top, right, bottom = (edge // share for edge in display.cut(wide, high))
    return np.ascontiguousarray(plane[top:bottom, left:right])


def _even(pixels: float) -> int:
    return int(pixels) // 2 * 2
