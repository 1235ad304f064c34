"""Name what comes out of a decoder: one picture, whose brightness is read in place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Frame", "Picture", "luma_of"]

_PLANAR = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray", "yuv411p"}
_ON_DEVICE = {"cuda", "vaapi"}  # pixel formats whose pixels are in the memory of the graphics device


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture, valid only in the thread and loop turn that got it.

    Attributes:
        picture: the libav frame.
        luma: uint8, shape (height, width), a view into the decoder's memory where the pixel format allows it.
        at: wall time, UTC.
        media_s: seconds since the stream or file began.
        lag_s: how long ago it was taken when it was decoded; 0 for files.
    """

    picture: Any
    luma: NDArray[np.uint8]
    width: int
    height: int
    at: datetime
    media_s: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture before anybody looks at it: a hardware decoder's is fetched only by `frame`."""

    picture: Any
    at: datetime
    media_s: float
    lag_s: float

    @property
    def width(self) -> int:
        """Pixels across."""
        return int(self.picture.width)

    @property
    def height(self) -> int:
        """Pixels down."""
        return int(self.picture.height)

    def frame(self) -> Frame:
        """The picture in system memory, ready to be looked at."""
        picture = self.picture
        if picture.format.name in _ON_DEVICE:
            picture = picture.reformat(format="nv12")
        return Frame(picture, luma_of(picture), picture.width, picture.height, self.at, self.media_s, self.lag_s)


def luma_of(picture: Any) -> NDArray[np.uint8]:
    """The brightness plane as uint8 (height, width); a view where the format has one, else a converted copy."""
    if picture.format.name not in _PLANAR:
        picture = picture.reformat(format="gray")
    plane = picture.planes[0]
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: picture.height, : picture.width]
