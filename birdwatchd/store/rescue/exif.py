"""Put Exif metadata in front of a JPEG's picture, or take it away; the picture itself is never encoded again.

A JPEG begins with segments for applications: JFIF in APP0, Exif in APP1 (CIPA DC-008, ITU-T T.81 annex B).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["LONGEST", "is_jpeg", "with_exif", "without_exif"]

LONGEST = 0xFFFF - 2  # bytes of Exif in one segment
_SOI, _APP0, _APP1, _LAST_APP = b"\xff\xd8", 0xE0, 0xE1, 0xEF
_EXIF = b"Exif\0\0"


def is_jpeg(data: bytes) -> bool:
    """Whether bytes begin as a JPEG does."""
    return data.startswith(_SOI)


def with_exif(jpeg: bytes, exif: bytes) -> bytes:
    """The same picture with this Exif (which begins with `Exif`) in the place of any other."""
    first, others, rest = _parts(jpeg)
    segment = struct.pack(">BBH", 0xFF, _APP1, len(exif) + 2) + exif
    return b"".join((_SOI, first, segment, others, rest))


def without_exif(jpeg: bytes) -> bytes:
    """The same picture without Exif; bytes that are no JPEG stay as they are."""
    return b"".join((_SOI, *_parts(jpeg))) if is_jpeg(jpeg) else jpeg


def _parts(jpeg: bytes) -> tuple[bytes, bytes, bytes]:
    """JFIF, which readers want in front; the other segments for applications, without Exif; and the rest."""
    first, others, rest = b"", b"", 2
    for marker, start, end in _app_segments(jpeg):
        rest = end
        if marker == _APP0 and start == 2:
            first = jpeg[start:end]
        elif marker != _APP1 or not jpeg.startswith(_EXIF, start + 4):
            others += jpeg[start:end]
    return first, others, jpeg[rest:]


def _app_segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """The application segments at the beginning of a JPEG: marker, where it starts and where it ends."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and _APP0 <= jpeg[at + 1] <= _LAST_APP:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if end > len(jpeg):
            return
        yield jpeg[at + 1], at, end
        at = end
