"""Compressed packets as plain data that any thread may hold, and the parameters of the codec that decodes them.

A libav packet belongs to the thread and the container that made it; a `Packet` is a copy of its bytes with all that is
needed to decode it again or to write it into a file. The codec's parameters are one shared record, so that a change of
them is seen by comparing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from birdwatchd.camera.capture.display import PLAIN, Display

__all__ = ["Codec", "Packet", "is_annex_b", "parameter_sets"]


@dataclass(frozen=True, slots=True)
class Codec:
    """What a decoder or a file has to know of a stream besides its packets.

    Attributes:
        name: of the format, as libav calls it: `h264`, `hevc`, `av1`, `mjpeg`, …
        decoder: name of libav's decoder for it (`libdav1d` for `av1`).
        extradata: parameter sets: avcC or hvcC as in MP4 and Matroska, or Annex B as in RTSP and MPEG-TS; may be empty.
        width, height: pixels.
        pix_fmt: libav's name of the pixel format; empty where it is not known.
        color_range, colorspace: libav's numbers, for containers that say it and streams that do not.
        reorder: how many frames a decoder holds back to put them in order.
        display: how its pictures are to be shown.
    """

    name: str
    decoder: str
    extradata: bytes
    width: int
    height: int
    pix_fmt: str = ""
    color_range: int = 0
    colorspace: int = 2
    reorder: int = 0
    display: Display = PLAIN

    @property
    def shown_size(self) -> tuple[int, int]:
        """(width, height) of what is shown of its pictures, pixels."""
        return self.display.size(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed frame. Packets come in the order in which they are decoded, which is not that of their times.

    Attributes:
        data: the bytes, as they came.
        pts, dts: when to show and when to decode it, in units of `time_base`; None where the stream does not say.
        time_base: seconds per unit.
        duration: in units of `time_base`; 0 where it is not known.
        is_key: decoding may begin here.
        media_s: seconds since the stream or file began, as its frame's `media_s`.
        at: wall time, UTC, as its frame's `at`.
        read_at: when it was read from a camera, UTC; None of recordings.
    """

    data: bytes
    pts: int | None
    dts: int | None
    time_base: Fraction
    duration: int
    is_key: bool
    media_s: float
    at: datetime
    codec: Codec
    read_at: datetime | None = None

    @property
    def reorder_delay_s(self) -> float:
        """How long after its decoding it is shown: 0 without B-frames."""
        if self.pts is None or self.dts is None:
            return 0.0
        return max(0.0, float((self.pts - self.dts) * self.time_base))


# Type of a NAL unit from its first byte; types of parameter sets; types of slices of pictures (ITU-T H.264 table 7-1
# and H.265 table 7-1).
_NAL_TYPES: dict[str, tuple[Callable[[int], int], frozenset[int], frozenset[int]]] = {
    "h264": (lambda byte: byte & 31, frozenset({7, 8}), frozenset(range(1, 6))),
    "hevc": (lambda byte: byte >> 1 & 63, frozenset({32, 33, 34}), frozenset(range(32))),
}
_START = b"\x00\x00\x01"


def is_annex_b(name: str, extradata: bytes) -> bool:
    """Whether packets separate their parts by start codes, so that parameter sets may stand among them."""
    return name in _NAL_TYPES and not extradata.startswith(b"\x01")


def parameter_sets(name: str, data: bytes) -> bytes:
    """The parameter sets before the first slice of an Annex B packet, each with a start code; empty without any.

    Args:
        name: `h264` or `hevc`.
    """
    type_of, parameters, slices = _NAL_TYPES[name]
    found = []
    offset = data.find(_START)
    while 0 <= offset < len(data) - 3:
        kind = type_of(data[offset + 3])
        if kind in slices:
            break
        following = data.find(_START, offset + 3)
        if kind in parameters:
            found.append(b"\x00" + _START + data[offset + 3 : following if following > 0 else None].rstrip(b"\x00"))
        offset = following
    return b"".join(found)
