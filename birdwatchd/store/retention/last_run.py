"""Remember what retention deleted last, so that who wonders where a clip is can read it without the log."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from birdwatchd.records import rfc3339

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
        part = home / f".{FILE_NAME}.part"
        with suppress(OSError):
            part.write_text(json.dumps(asdict(self) | {"at": rfc3339(self.at)}) + "\n", encoding="utf-8")
            os.replace(part, home / FILE_NAME)

    @classmethod
    def read(cls, home: Path) -> LastRun | None:
        """The last one, or None where none is known."""
        try:
            held = json.loads((home / FILE_NAME).read_text(encoding="utf-8"))
            at = datetime.fromisoformat(held["at"])
            return cls(at, int(held["clips"]), int(held["pictures"]), int(held["visits"]), int(held["size"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
