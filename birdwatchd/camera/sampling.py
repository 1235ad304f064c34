"""Decide which frames of a camera are looked at: few in quiet, every one while something may be a bird.

`FrameSampler` holds the rate that the settings allow and what lateness drops; every process that shows frames to an
observer asks it. Of what it takes, `Attention` in the observer looks at as much as the scene is worth. The frames that
quiet left out are kept until the next look, which may have a second thought about them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.capture.shedding import LoadShedder
from birdwatchd.camera.tracking.tracker import Step, Track

__all__ = ["Attention", "AttentionSettings", "FrameSampler"]

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
class AttentionSettings:
    """How the camera's attention is spent.

    Attributes:
        quiet_fps: looks per second while nothing may be a bird, and while every bird sits still.
        calm_fps: looks per second while known birds move about in their place; every frame otherwise.
        calm_speed: how fast that is, in their own sizes per second; flying is 5 and more.
        kept_frames: frames left out that are kept for a second thought (3 MB each at 1080p).
        alert_s: how long every frame is looked at after the last suspicion.
        still_s: a bird that has not moved for so long sits still.
        gap_s: frames further apart than this were not all looked at.
    """

    quiet_fps: float = 5.0
    calm_fps: float = 7.5
    calm_speed: float = 2.0
    kept_frames: int = 3
    alert_s: float = 0.7
    still_s: float = 2.0
    gap_s: float = 0.35


class Attention:
    """What one camera's frames are worth at the moment. Times are seconds on the camera's clock.

    Attributes:
        alert_until: until when every frame is looked at.
        seen_all_since: from here on every frame was looked at, or known to be quiet.
        left_out: the newest frames that were not looked at, oldest first.
    """

    def __init__(self, settings: AttentionSettings) -> None:
        self.settings = settings
        self.alert_until = 0.0
        self.seen_all_since = 0.0
        self.left_out: deque[Frame] = deque(maxlen=settings.kept_frames)
        self._looked_at = -1e9  # the last look
        self._moved_at = 0.0

    def wants(self, frame: Frame, at: float) -> bool:
        """Whether this frame is looked at now; the rest wait for a second thought."""
        if not self._due(at):
            self.left_out.append(frame)
            return False
        if at - self._looked_at > self.settings.gap_s and not self.left_out:
            self.seen_all_since = at
        self._looked_at = at
        return True

    def _due(self, at: float) -> bool:
        if at <= self.alert_until or at < self._looked_at:
            return True
        moving = at - self._moved_at < self.settings.still_s
        fps = self.settings.calm_fps if moving else self.settings.quiet_fps
        return at - self._looked_at >= 0.95 / fps

    def start_over(self, at: float) -> None:
        """Nothing that was seen so far says what this picture shows."""
        self.left_out.clear()
        self.alert_until = at + self.settings.alert_s
        self.seen_all_since = at

    def follow(self, step: Step, tracks: Sequence[Track], at: float) -> None:
        """Look at every frame while something may be a bird, is missed, is new or flies.

        Args:
            tracks: every track, confirmed or tentative.
        """
        s = self.settings
        doubtful = len(step.open) < len(tracks) or len(step.seen) < len(step.open)
        fast = any(track.motion.speed > s.calm_speed * max(track.motion.size) for track in step.seen)
        if doubtful or fast or any(at - track.first_s < s.alert_s for track in step.open):
            self.alert_until = at + s.alert_s
        if any(track.motion.still_since_s == at for track in step.open):
            self._moved_at = at
