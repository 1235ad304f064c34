"""Remember in the home when it was backed up last, so that `birdwatchd status` can say that nobody does any more."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from birdwatchd.records import rfc3339
from birdwatchd.whole_file import write_whole

__all__ = ["LastBackup"]

FILE_NAME = "last-backup.json"  # below home


@dataclass(frozen=True, slots=True)
class LastBackup:
    """A backup that was completed.

    Attributes:
        folder: of the backups.
        visits: in it.
    """

    at: datetime
    folder: str
    visits: int

    def write(self, home: Path) -> bool:
        """Keep it in place of the one before; False where the home cannot be written."""
        held = {"at": rfc3339(self.at), "folder": self.folder, "visits": self.visits}
        try:
            write_whole(home / FILE_NAME, (json.dumps(held) + "\n").encode())
        except OSError:
            return False
        return True

    @classmethod
    def read(cls, home: Path) -> LastBackup | None:
        """The last one, or None where none is known."""
        try:
            held = json.loads((home / FILE_NAME).read_text(encoding="utf-8"))
            at = datetime.fromisoformat(held["at"])
            return None if at.tzinfo is None else cls(at, str(held["folder"]), int(held["visits"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def age_s(self, now: datetime) -> float:
        """How long ago it was, seconds; 0 where the clock was set back since."""
        return max(0.0, (now - self.at).total_seconds())
