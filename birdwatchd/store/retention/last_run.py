"""Remember what retention deleted last, so that who wonders where a clip is can read it without the log."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from birdwatchd.records import rfc3339
from birdwatchd.whole_file import write_whole

__all__ = ["LastRun"]

FILE_NAME = "retention.json"  # below home; a note for people, nothing depends on it


@dataclass(frozen=True, slots=True)
class LastRun:
    """One run that deleted something.

    Attributes:
        size: bytes of files.
    """

    at: datetime
    clips: int
    pictures: int
    visits: int
    size: int

    def write(self, home: Path) -> None:
        """Keep it in place of the one before; on a full disk the one before stays."""
        with suppress(OSError):
            write_whole(home / FILE_NAME, (json.dumps(asdict(self) | {"at": rfc3339(self.at)}) + "\n").encode())

    @classmethod
    def read(cls, home: Path) -> LastRun | None:
        """The last one, or None where none is known."""
        try:
            held = json.loads((home / FILE_NAME).read_text(encoding="utf-8"))
            at = datetime.fromisoformat(held["at"])
            return cls(at, int(held["clips"]), int(held["pictures"]), int(held["visits"]), int(held["size"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
