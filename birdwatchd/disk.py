"""Say how much room is left on a disk, and what it is still enough for: rows over pictures over clips.

The last of a disk is kept for what is small and matters most. Clips end first, then pictures; visits are written as
long as the database finds a page.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["DiskRoom", "Storage"]

# What is kept free, as bytes and as a share of the disk; the smaller of both counts.
_CLIPS = (1_000_000_000, 0.2)
_PICTURES = (250_000_000, 0.1)
_ROWS = (20_000_000, 0.025)


class Storage(StrEnum):
    """What can still be kept."""

    GOOD = "ok"
    NO_CLIPS = "no_clips"
    NO_PICTURES = "no_pictures"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """Room on one file system, in bytes; `free` is what a user without privileges may still write."""

    free: int
    total: int

    @classmethod
    def at(cls, folder: Path) -> DiskRoom:
        """The room where a folder lies.

        Raises:
            OSError: there is no such folder.
        """
        facts = os.statvfs(folder)
        return cls(facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize)

    @property
    def storage(self) -> Storage:
        """What the room is still enough for."""
        if self.free < self._kept(_ROWS):
            return Storage.FULL
        if self.free < self._kept(_PICTURES):
            return Storage.NO_PICTURES
        return Storage.NO_CLIPS if self.free < self._kept(_CLIPS) else Storage.GOOD

    @property
    def for_clips(self) -> bool:
        """Whether clips may be written."""
        return self.free >= self._kept(_CLIPS)

    @property
    def for_pictures(self) -> bool:
        """Whether pictures may be written."""
        return self.free >= self._kept(_PICTURES)

    @property
    def enough(self) -> int:
        """Bytes that are to be free so that everything is kept, and goes on being kept for a while."""
        return round(1.25 * self._kept(_CLIPS))

    def _kept(self, least: tuple[int, float]) -> float:
        return min(least[0], least[1] * self.total)
