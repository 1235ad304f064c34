"""Decoded frames with their time; the luma plane is a view into the decoder's memory wherever that is possible.

A decoder on a graphics device leaves its frames there. So there are two records: what comes out of a decoder, and the
frame in system memory, upright and as it is shown, which is made only of frames that are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.capture.display import PLAIN, Display, as_shown, for_frame

__all__ = ["DecodedFrame", "Frame", "luma_of"]

_PLANAR = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray", "yuv411p"}
_ON_DEVICE = {"cuda", "vaapi"}  # pixel formats whose pixels are in the memory of the graphics device


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame in system memory, valid only in the thread and loop turn that got it.

    Attributes:
        av_frame: PyAV's VideoFrame.
        luma: uint8, shape (height, width), a view into the decoder's memory where the pixel format allows it.
        at: wall time, UTC.
        media_s: seconds since the stream or file began.
        lag_s: how long ago it was taken when it was decoded; 0 for files.
    """

    av_frame: Any
    luma: NDArray[np.uint8]
    width: int
    height: int
    at: datetime
    media_s: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One frame where its decoder left it, perhaps on a graphics device; attributes as those of `Frame`.

    Attributes:
        display: how it is to be shown; width and height are those of what is shown.
    """

    av_frame: Any
    at: datetime
    media_s: float
    lag_s: float
    display: Display = PLAIN

    @property
    def width(self) -> int:
        """Pixels across."""
        return self._shown_size()[0]

    @property
    def height(self) -> int:
        """Pixels down."""
        return self._shown_size()[1]

    def download(self) -> Frame:
        """The frame in system memory: the same one, unless it is on a graphics device or is to be turned."""
        av_frame = self.av_frame
        display = for_frame(av_frame, self.display)
        if av_frame.format.name in _ON_DEVICE:
            av_frame = av_frame.reformat(format="nv12")
        av_frame = as_shown(av_frame, display)
        luma = luma_of(av_frame)
        return Frame(av_frame, luma, av_frame.width, av_frame.height, self.at, self.media_s, self.lag_s)

    def _shown_size(self) -> tuple[int, int]:
        return for_frame(self.av_frame, self.display).size(int(self.av_frame.width), int(self.av_frame.height))


def luma_of(av_frame: Any) -> NDArray[np.uint8]:
    """The luma plane as uint8 (height, width); a view where the format has one, else a converted copy."""
    if av_frame.format.name not in _PLANAR:
        av_frame = av_frame.reformat(format="gray")
    plane = av_frame.planes[0]
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: av_frame.height, : av_frame.width]
