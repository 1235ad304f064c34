"""Mark in a picture of a bird the part that the network sees; what is around it is there for people.

A box of what moves often holds less than the bird, and the network is the better for little background: so more is kept
than is classified. The mark is a comment in the JPEG itself (COM; ITU-T T.81, B.2.4.5), so that whoever has the
picture, a row of the database or none, classifies the same pixels. A picture without a mark is classified as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Look", "PixelRect", "seen_part", "with_mark"]

_COM, _APP0, _LAST_APP = 0xFE, 0xE0, 0xEF  # second byte of markers
_MARK = re.compile(rb"birdwatchd sees (\d{1,5})x(\d{1,5})\+(\d{1,5})\+(\d{1,5}) of (\d{1,5})x(\d{1,5})")


class Look(Enum):
    """What of a picture the network is given.

    FIRST is the marked part. BRIGHTER is a brightened copy of it, where the bird is dark. WIDER is the whole picture,
    where that is more than the marked part.
    """

    FIRST = auto()
    BRIGHTER = auto()
    WIDER = auto()


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


def with_mark(jpeg: bytes, seen: PixelRect, width: int, height: int) -> bytes:
    """The same picture, marked; one that is seen as a whole needs no mark.

    Args:
        seen: the part that the network sees.
        width, height: pixels of the picture.
    """
    if seen == PixelRect(0, 0, width, height):
        return jpeg
    text = f"birdwatchd sees {seen.width}x{seen.height}+{seen.left}+{seen.top} of {width}x{height}".encode()
    at = 2  # behind the start of the image and what is for applications: JFIF wants to be first
    while jpeg[at] == 0xFF and _APP0 <= jpeg[at + 1] <= _LAST_APP:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return jpeg[:at] + bytes((0xFF, _COM)) + (len(text) + 2).to_bytes(2, "big") + text + jpeg[at:]


def seen_part(image: Image) -> Image:
    """What the network sees of a picture: the marked part, or all of it where there is no mark that fits.

    A mark that says another size than the picture's belongs to what the picture was before it was cut or scaled.
    """
    comment = image.info.get("comment")
    found = _MARK.fullmatch(comment) if isinstance(comment, bytes) else None
    if found is None:
        return image
    w, h, left, top, *size = map(int, found.groups())
    if (*image.size,) != (*size,) or not (w and h and left + w <= image.width and top + h <= image.height):
        return image
    part = image.crop((left, top, left + w, top + h))
    del part.info["comment"]  # Pillow copies it
    return part
