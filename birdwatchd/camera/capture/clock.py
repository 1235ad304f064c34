"""Map a stream's media time to wall time: the one place that knows that timestamps jump, restart or are missing.

A live frame cannot have been taken later than it arrived, so the smallest delay seen so far is taken as the true
one: after a burst (a server that sends from its last key frame) the clock settles on the real pace within the burst.
Many cameras stamp at another pace than they send, or stamp nothing new for minutes: `drift.py` measures how fast their
delays seem to grow, and the clock goes along.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from birdwatchd.camera.capture.drift import Drift
from birdwatchd.clock import steady_s

__all__ = ["FileClock", "LiveClock", "Playback", "station_time", "utc_now"]

MAX_LAG_S = 10.0  # a frame older than this at arrival is a timestamp that jumped; parts of a playlist are that long
STILL_S = 0.5  # a stream whose timestamps stand still for so long is dated by arrival
RESTART_S = 1.0  # a stream that steps back by more has begun again
MOST_REORDERED = 16  # frames that H.264 and H.265 may hold back to put them in order
CREEP = 0.002  # seconds per second by which the assumed delay shrinks: follows cameras whose clock runs a little slow
CATCH_UP_S = 5.0  # in which the clock makes up for what every delay of late has been longer than assumed
PROMPT_S = 0.05  # packets that lay here for longer before they were read say nothing of the camera's clock


def utc_now() -> datetime:
    """Wall time, for what is handed a clock."""
    return datetime.now(UTC)


def station_time(zero: datetime) -> Callable[[], datetime]:
    """A clock that the main process has set, and that goes on by seconds that nobody can set.

    Args:
        zero: the time at second 0 of `birdwatchd.clock.steady_s`.
    """
    return lambda: zero + timedelta(seconds=steady_s())


class _Restarts:
    """Notice streams that begin again, by timestamps that step back.

    Packets come in the order in which they are decoded, and with B-frames that is not the order in which they are
    shown: at 2 frames a second `pts` steps back by seconds in the middle of a stream, and `dts` never does.
    """

    def __init__(self) -> None:
        self._newest_s: float | None = None
        self._decode_s: float | None = None

    def restarted(self, media_s: float, decode_s: float | None, frame_s: float = 0.0) -> bool:
        """Whether the stream began again with this packet.

        Args:
            media_s, decode_s: its `pts` and `dts` in seconds; the second is None where it is not known.
            frame_s: nominal duration of one frame, 0 where it is not known.
        """
        newest_s, before_s = self._newest_s, self._decode_s
        if decode_s is not None and before_s is not None:
            restarted = decode_s < before_s - RESTART_S
        else:
            restarted = newest_s is not None and media_s < newest_s - max(RESTART_S, MOST_REORDERED * frame_s)
        self._newest_s = media_s if newest_s is None or restarted else max(newest_s, media_s)
        self._decode_s = decode_s
        return restarted


class LiveClock:
    """Wall time of the packets of a live stream."""

    def __init__(self) -> None:
        self._offset_s: float | None = None  # wall time minus media seconds
        self._wall_s = 0.0  # of the newest packet
        self._newest_s = float("-inf")  # the largest timestamp, in the order of decoding where that is known
        self._moved_s = 0.0  # wall time when it grew last
        self._restarts = _Restarts()
        self._drift = Drift()

    @property
    def drift(self) -> float:
        """Seconds by which timestamps fall behind in each second: 0.16 where 25 are stamped and 21 come."""
        return self._drift.rate

    def at(self, media_s: float | None, now: datetime, decode_s: float | None = None, late_s: float = 0.0) -> datetime:
        """When the frame with this media time was taken, never later than `now`.

        Args:
            media_s: the packet's timestamp in seconds, None where the stream has none.
            now: when it was read, UTC.
            decode_s: when it is to be decoded, on the same clock; None where the stream does not say.
            late_s: how long it lay here before it was read.
        """
        wall_s = now.timestamp()
        if media_s is None:
            return now
        delay_s, pace_s = wall_s - media_s, media_s if decode_s is None else decode_s
        step_s = min(max(0.0, wall_s - self._wall_s), MAX_LAG_S)
        self._wall_s = wall_s
        if self._restarts.restarted(media_s, decode_s) or self._offset_s is None:
            self._offset_s, self._newest_s = delay_s, float("-inf")
            self._drift = Drift()
        if pace_s > self._newest_s:
            self._newest_s, self._moved_s = pace_s, wall_s
        if late_s < PROMPT_S:
            self._drift.add(delay_s, wall_s)
        behind_s = max(0.0, self._drift.least_s(wall_s) - self._offset_s)
        self._offset_s += (CREEP + self._drift.rate + behind_s / CATCH_UP_S) * step_s
        stands_still = wall_s - self._moved_s > STILL_S and late_s < PROMPT_S
        if stands_still or self._offset_s > delay_s or delay_s - self._offset_s > MAX_LAG_S:
            self._offset_s = delay_s
        return datetime.fromtimestamp(media_s + self._offset_s, UTC)


class FileClock:
    """Wall time of the packets and frames of a recording that began at `start`."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._base_s = 0.0
        self._last_s = 0.0
        self._origin_s: float | None = None
        self._newest_s = 0.0
        self._restarts = _Restarts()

    def seconds(self, media_s: float | None, frame_s: float, decode_s: float | None = None) -> float:
        """Seconds from the start of the recording; steps back only where packets come in another order than frames.

        Args:
            media_s: the packet's timestamp, None where there is none.
            frame_s: nominal duration of one frame, used where timestamps are missing or jump back.
            decode_s: when it is to be decoded, on the same clock; None where the file does not say.
        """
        if media_s is None:
            self._last_s += frame_s
            return self._last_s
        if self._origin_s is None:
            self._origin_s = media_s
        seconds = media_s - self._origin_s + self._base_s
        if self._restarts.restarted(media_s, decode_s, frame_s) or seconds > self._last_s + 3600.0:
            self._base_s += self._last_s + frame_s - seconds
            seconds = self._last_s + frame_s
        self._last_s = max(self._last_s, seconds)
        return max(0.0, seconds)

    def never_back(self, seconds: float) -> float:
        """Seconds of a frame, given those of its packet: they never run backwards, whatever the timestamps do."""
        self._newest_s = max(self._newest_s, seconds)
        return self._newest_s

    def at(self, seconds: float) -> datetime:
        """Wall time of that second of the recording."""
        return self._start + timedelta(seconds=seconds)


class Playback:
    """Play recordings at the pace of a camera: each packet comes when it is due, dated as if it was sent now.

    Second 0 is when the first packet is waited for. Streams that share one `Playback` stay in step with each other.
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
        self._start: tuple[datetime, float] | None = None

    def wait_for(self, seconds: float) -> None:
        """Wait until that second is due."""
        early_s = -self.late_s(seconds)
        if early_s > 0:
            self._wait(early_s)

    def at(self, seconds: float) -> datetime:
        """Wall time of that second."""
        return self._started()[0] + timedelta(seconds=seconds)

    def late_s(self, seconds: float) -> float:
        """How long ago that second was due; negative while it is not."""
        return self._monotonic() - self._started()[1] - seconds

    def _started(self) -> tuple[datetime, float]:
        if self._start is None:
            self._start = self._clock(), self._monotonic()
        return self._start
