"""Map a stream's media time to wall time: the one place that knows that timestamps jump, restart or are missing.

A live picture cannot have been taken later than it arrived, so the smallest delay seen so far is taken as the true
one: after a burst (a server that sends from its last key frame) the clock settles on the real pace within the burst.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["FileClock", "LiveClock", "Playback", "utc_now"]

MAX_LAG_S = 5.0  # a picture older than this at arrival is a timestamp that jumped, not a slow network
CREEP = 0.002  # seconds of delay given back per second: follows cameras whose clock runs slow


def utc_now() -> datetime:
    """Wall time, for what is handed a clock."""
    return datetime.now(UTC)


class LiveClock:
    """Wall time of the packets of a live stream."""

    def __init__(self) -> None:
        self._offset: float | None = None  # wall seconds minus media seconds
        self._last_media: float | None = None
        self.jumps = 0

    def at(self, media_s: float | None, now: datetime) -> datetime:
        """When the picture with this media time was taken, never later than `now`.

        Args:
            media_s: the packet's timestamp in seconds, None where the stream has none.
            now: arrival, UTC.
        """
        wall = now.timestamp()
        if media_s is None:
            return now
        if self._offset is None:
            self._offset = wall - media_s
        elif self._last_media is not None and media_s < self._last_media - 1.0:
            self._jump(wall - media_s)
        step = max(0.0, media_s - (self._last_media if self._last_media is not None else media_s))
        self._last_media = media_s
        assert self._offset is not None
        self._offset = min(self._offset + CREEP * min(step, 1.0), wall - media_s)
        if wall - (media_s + self._offset) > MAX_LAG_S:
            self._jump(wall - media_s)
        return datetime.fromtimestamp(media_s + self._offset, UTC)

    def _jump(self, offset: float) -> None:
        self._offset = offset
        self.jumps += 1


class FileClock:
    """Wall time of the packets and frames of a recording that began at `start`."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._base = 0.0
        self._last = 0.0
        self._origin: float | None = None
        self._shown = 0.0

    def seconds(self, media_s: float | None, frame_s: float) -> float:
        """Seconds from the start of the recording; steps back only where packets come in another order than pictures.

        Args:
            media_s: the packet's timestamp, None where there is none.
            frame_s: nominal duration of one frame, used where timestamps are missing or jump back.
        """
        if media_s is None:
            self._last += frame_s
            return self._last
        if self._origin is None:
            self._origin = media_s
        seconds = media_s - self._origin + self._base
        if seconds < self._last - 1.0 or seconds > self._last + 3600.0:  # restarted at zero, or jumped
            self._base += self._last + frame_s - seconds
            seconds = self._last + frame_s
        self._last = max(self._last, seconds)
        return max(0.0, seconds)

    def shown(self, seconds: float) -> float:
        """Seconds of a frame, given those of its packet: never running backwards, whatever the timestamps do."""
        self._shown = max(self._shown, seconds)
        return self._shown

    def at(self, seconds: float) -> datetime:
        """Wall time of that second of the recording."""
        return self._start + timedelta(seconds=seconds)


class Playback:
    """Recordings that play the part of cameras: each packet comes when it is due, as if it was sent now.

    Second 0 is when the first packet is waited for. Streams that share one stay in step with each other.
    """

    def __init__(
        self, clock: Callable[[], datetime], monotonic: Callable[[], float], wait: Callable[[float], object]
    ) -> None:
        """
        Args:
            clock: wall time, UTC.
            monotonic: seconds that never step.
            wait: sleeps for some seconds, or less if there is a reason to stop.
        """
        self._clock, self._monotonic, self._wait = clock, monotonic, wait
        self._began: tuple[datetime, float] | None = None

    def wait_for(self, seconds: float) -> None:
        """Wait until that second is due."""
        early = -self.late_s(seconds)
        if early > 0:
            self._wait(early)

    def at(self, seconds: float) -> datetime:
        """Wall time of that second."""
        return self._beginning()[0] + timedelta(seconds=seconds)

    def late_s(self, seconds: float) -> float:
        """How long ago that second was due; negative while it is not."""
        return self._monotonic() - self._beginning()[1] - seconds

    def _beginning(self) -> tuple[datetime, float]:
        if self._began is None:
            self._began = self._clock(), self._monotonic()
        return self._began
