"""Sample a camera's frames: few while nothing happens, every one while something may be a bird.

Most frames show nothing new, and each costs processor time. `FrameSampler` holds the rate that the settings allow and
drops late frames; every process that shows frames to an observer asks it. `AdaptiveSampler`, in the observer, takes
as many of these as the scene needs; the frames that it skips are kept until the next one is processed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.capture.shedding import LoadShedder
from birdwatchd.camera.tracking.tracker import Step, Track

__all__ = ["AdaptiveSampler", "FrameSampler", "SamplingSettings"]

EARLY_SHARE = 0.9  # of a frame's time: a camera that sends `max_fps` frames, some a little early, keeps every one


class FrameSampler:
    """Which of a stream's decoded frames an observer is shown: those in time, and at most `max_fps` a second."""

    def __init__(self, max_fps: float, shedder: LoadShedder) -> None:
        self._least_s = EARLY_SHARE / max_fps
        self._shedder = shedder
        self._last: datetime | None = None

    def takes(self, frame: DecodedFrame | Frame) -> bool:
        """Decide on the next frame."""
        if self._shedder.drops_frame(frame.lag_s):
            return False
        if self._last is not None and 0 <= (frame.at - self._last).total_seconds() < self._least_s:
            return False
        self._last = frame.at
        return True


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How many frames are processed.

    Attributes:
        quiet_fps: frames per second while nothing may be a bird, and while every bird sits still.
        calm_fps: frames per second while known birds move about in their place; every frame otherwise.
        calm_speed: how fast that is, in their own sizes per second; flying is 5 and more.
        kept_frames: skipped frames that are kept to be processed after all (3 MB each at 1080p).
        alert_s: how long every frame is processed after something last may have been a bird.
        still_s: a bird that has not moved for so long sits still.
        gap_s: frames further apart than this were not all processed.
    """

    quiet_fps: float = 5.0
    calm_fps: float = 7.5
    calm_speed: float = 2.0
    kept_frames: int = 3
    alert_s: float = 0.7
    still_s: float = 2.0
    gap_s: float = 0.35


class AdaptiveSampler:
    """Which of an observer's frames are processed, by what was seen so far. Times are seconds on the frames' clock.

    Attributes:
        alert_until_s: until when every frame is processed.
        complete_since_s: from here on every frame was processed, or known to be quiet.
        skipped: the newest frames that were not processed, oldest first.
    """

    def __init__(self, settings: SamplingSettings) -> None:
        self.settings = settings
        self.alert_until_s = 0.0
        self.complete_since_s = 0.0
        self.skipped: deque[Frame] = deque(maxlen=settings.kept_frames)
        self._last_s = -1e9  # of the last frame that was processed
        self._moved_s = 0.0

    def should_process(self, frame: Frame, now_s: float) -> bool:
        """Whether this frame is processed now; otherwise it is kept in `skipped`."""
        if not self._is_due(now_s):
            self.skipped.append(frame)
            return False
        if now_s - self._last_s > self.settings.gap_s and not self.skipped:
            self.complete_since_s = now_s
        self._last_s = now_s
        return True

    def _is_due(self, now_s: float) -> bool:
        if now_s <= self.alert_until_s or now_s < self._last_s:
            return True
        moving = now_s - self._moved_s < self.settings.still_s
        fps = self.settings.calm_fps if moving else self.settings.quiet_fps
        return now_s - self._last_s >= 0.95 / fps

    def stay_alert(self, now_s: float) -> None:
        """Process every frame for a while."""
        self.alert_until_s = now_s + self.settings.alert_s

    def reset(self, now_s: float) -> None:
        """Start again with a scene of which nothing is known yet."""
        self.skipped.clear()
        self.alert_until_s = now_s + self.settings.alert_s
        self.complete_since_s = now_s

    def adapt(self, step: Step, tracks: Sequence[Track], now_s: float) -> None:
        """Process every frame while a track is tentative, unseen, new or flying.

        Args:
            tracks: every track, confirmed or tentative.
        """
        s = self.settings
        doubtful = len(step.open) < len(tracks) or len(step.seen) < len(step.open)
        fast = any(track.motion.speed > s.calm_speed * max(track.motion.size) for track in step.seen)
        if doubtful or fast or any(now_s - track.first_s < s.alert_s for track in step.open):
            self.alert_until_s = now_s + s.alert_s
        if any(track.motion.still_since_s == now_s for track in step.open):
            self._moved_s = now_s
