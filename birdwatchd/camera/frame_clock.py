"""Count the seconds of a camera's frames on a clock that never runs backwards.

The wall clock may be set while a camera is watched (network time comes late), but the tracker and the choice of moments
need time that goes on. Frames keep their wall time for what people read.
"""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["FrameClock"]

CLOCK_STEP_S = 0.5  # frames may arrive this much out of order; more is a clock that was set


class FrameClock:
    """Seconds since the first frame.

    Attributes:
        now_s: time of the newest frame.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._origin: datetime | None = None

    def advance(self, at: datetime) -> float:
        """Take the wall time of the next frame; returns `now_s`. A wall clock that was set back goes on from here."""
        if self._origin is None:
            self._origin = at
        seconds = (at - self._origin).total_seconds()
        if seconds < self.now_s - CLOCK_STEP_S:
            self._origin -= timedelta(seconds=self.now_s - seconds)
        self.now_s = max(self.now_s, seconds)
        return self.now_s

    def seconds_of(self, at: datetime) -> float:
        """The time on this clock of a frame of the past, or of the other stream."""
        return (at - self._origin).total_seconds() if self._origin is not None else 0.0

    def wall_time_of(self, seconds: float) -> datetime:
        """The wall time of a time on this clock; a frame must have come before."""
        assert self._origin is not None
        return self._origin + timedelta(seconds=seconds)
