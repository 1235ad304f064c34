"""Shed load on an overloaded machine: first frames are not looked at, then packets are not even decoded.

A frame that comes late is decoded and not looked at (`Pace`); that helps where looking is what takes too long. Where
decoding alone takes more time than there is, everything would be ever later: a file would play in slow motion, a live
stream would back up into the camera, and no frame would be looked at any more. So from some delay on all packets are
left out, undecoded, until the stream has been caught up with and a key frame comes (`CatchUp`). Both are counted, and
the ring has all packets all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from birdwatchd.camera.capture.frame import DecodedFrame, Frame

__all__ = ["CAUGHT_UP_S", "TOO_LATE_S", "CatchUp", "Pace"]

TOO_LATE_S = 1.5
LATE_S, LATE_FOR_S = 0.7, 1.0  # so late nothing is looked at; longer than this, decoding alone does not catch up soon
CAUGHT_UP_S = 0.25
NEARLY_S, PATIENCE_S = 0.6, 6.0  # on a network that delays every key frame, this must do after a while
SIGN_S = 1.0  # a key frame is decoded at least so often, so that there is always a picture
LONGEST_S = 30.0  # cameras that refresh their picture bit by bit send no key frames


class CatchUp:
    """Which packets of one camera are left out; `left_out` counts them, over all its streams."""

    def __init__(self) -> None:
        self.left_out = 0
        self._since: float | None = None  # when leaving out began
        self._late_since: float | None = None
        self._key_at = -1e9
        self._caught_up = False

    def leaves_out(self, is_key: bool, lag_s: float, now: float) -> bool:
        """Decide on the next packet.

        Args:
            lag_s: how late it is.
            now: seconds that never step.
        """
        if self._since is None:
            self._since = now if self._is_too_late(lag_s, now) else None
        elif self._is_over(is_key, lag_s, now - self._since):
            self._since, self._late_since, self._caught_up = None, None, True
        if self._since is not None and not (is_key and now - self._key_at >= SIGN_S):
            self.left_out += 1
            return True
        if is_key:
            self._key_at = now
        return False

    def begin_anew(self) -> None:
        """The stream was opened again: its first packets are wanted."""
        self._since = self._late_since = None

    def take_caught_up(self) -> bool:
        """Whether the stream was caught up with since this was asked last."""
        caught_up, self._caught_up = self._caught_up, False
        return caught_up

    def _is_too_late(self, lag_s: float, now: float) -> bool:
        if lag_s < CAUGHT_UP_S:
            self._late_since = None
        elif lag_s > LATE_S and self._late_since is None:
            self._late_since = now
        return lag_s > TOO_LATE_S or (self._late_since is not None and now - self._late_since > LATE_FOR_S)

    @staticmethod
    def _is_over(is_key: bool, lag_s: float, for_s: float) -> bool:
        enough = CAUGHT_UP_S if for_s < PATIENCE_S else NEARLY_S
        return lag_s < enough and (is_key or for_s > LONGEST_S)


NOT_LOOKED_AT_S, IN_TIME_S = 0.7, 0.3  # behind by more: frames are decoded but not looked at, until caught up


@dataclass(slots=True)
class Pace:
    """At most `max_fps` pictures a second, and none while the picture is late; `skipped` counts those."""

    max_fps: float
    late: bool = False
    last_at: datetime | None = None
    skipped: int = 0

    def wants(self, frame: DecodedFrame | Frame, lag_s: float) -> bool:
        """Whether to look at this one.

        Args:
            lag_s: how late it is.
        """
        if lag_s > NOT_LOOKED_AT_S:
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
