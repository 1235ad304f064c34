"""Name a visit so that names sort by time, and its clip by its name."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

__all__ = ["clip_part", "clip_path", "new_visit_id", "visit_start"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_visit_id(at: datetime, randomness: int | None = None) -> str:
    """Return a 26-character ULID for a visit that began `at`: sorts by time as text (github.com/ulid/spec).

    Args:
        at: aware datetime; its milliseconds fill the first 10 characters.
        randomness: 80 bits to use instead of fresh random ones (tests).
    """
    bits = secrets.randbits(80) if randomness is None else randomness
    number = (int(at.timestamp() * 1000) << 80) | (bits & ((1 << 80) - 1))
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5))


def visit_start(visit_id: str) -> datetime | None:
    """When a visit began, as its id says; None for an id that says no time."""
    try:
        return _began(visit_id) if len(visit_id) == 26 else None
    except (ValueError, OverflowError):
        return None


def _began(visit_id: str) -> datetime:
    milliseconds = 0
    for letter in visit_id[:10]:
        milliseconds = milliseconds << 5 | _CROCKFORD.index(letter)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def clip_path(camera: str, visit_id: str) -> str:
    """Where the clip of a visit lies, relative to home: named by the visit, below its camera and UTC day.

    Raises:
        ValueError, OverflowError: the visit's id says no time that has a day.
    """
    return f"media/{camera}/{_began(visit_id):%Y/%m/%d}/{visit_id}.mp4"


def clip_part(path: str) -> str:
    """Where a clip is while it is being written."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part"
