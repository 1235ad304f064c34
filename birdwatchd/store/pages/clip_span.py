"""Read from a clip's file when it begins and how long it is: the header `mvhd` of ISO/IEC 14496-12, 8.2.2."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

__all__ = ["ClipSpan", "clip_span"]

MOST_BOXES = 20  # before the header; our clips have two
EPOCH = datetime(1904, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClipSpan:
    """When a clip begins, to the second, and its length in seconds."""

    start: datetime
    seconds: float

    def place_s(self, at: datetime) -> float | None:
        """Where in the clip an instant is; None where it is not in it."""
        place = (at - self.start).total_seconds()
        return max(0.0, place) if -1.0 <= place <= self.seconds else None


def clip_span(path: Path) -> ClipSpan | None:
    """Of a clip that says when it begins; None for one that does not (before 0.2), or cannot be read."""
    try:
        with path.open("rb") as file:
            return _movie_header(file)
    except (OSError, struct.error, ValueError, OverflowError, ZeroDivisionError):
        return None


def _movie_header(file: BinaryIO) -> ClipSpan | None:
    for _ in range(MOST_BOXES):
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"mvhd":
            wide = file.read(4)[:1] == b"\x01"
            created, _, scale, length = struct.unpack(">QQIQ" if wide else ">IIII", file.read(28 if wide else 16))
            return ClipSpan(EPOCH + timedelta(seconds=created), length / scale) if created else None
        if kind == b"moov":  # its first box is the header
            continue
        if size == 1:
            size = struct.unpack(">Q", file.read(8))[0] - 8
        file.seek(size - 8, 1)
    return None
