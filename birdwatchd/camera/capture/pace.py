"""Decide which pictures are looked at: not more than asked for, and none while they come late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from birdwatchd.camera.capture.frame import Frame, Picture

__all__ = ["Pace"]

LATE_S, IN_TIME_S = 0.7, 0.3  # behind by more: frames are decoded but not looked at, until caught up


@dataclass(slots=True)
class Pace:
    """At most `max_fps` pictures a second, and none while the picture is late; `skipped` counts those."""

    max_fps: float
    late: bool = False
    last_at: datetime | None = None
    skipped: int = 0

    def wants(self, frame: Picture | Frame, lag_s: float) -> bool:
        """Whether to look at this one.

        Args:
            lag_s: how late it is.
        """
        if lag_s > LATE_S:
            self.late = True
        elif lag_s < IN_TIME_S:
            self.late = False
        if self.late:
            self.skipped += 1
            return False
        if self.last_at is not None:
            since = (frame.at - self.last_at).total_seconds()
            if 0 <= since < 0.9 / self.max_fps:
                return False
        self.last_at = frame.at
        return True
