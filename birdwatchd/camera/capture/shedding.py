"""Shed load on a machine that is too slow: late frames are not looked at, very late packets are not even decoded.

Not looking at late frames helps where motion detection is what takes too long. Where decoding alone takes more time
than there is, a camera would be ever later: a file would play in slow motion, a live stream would back up into the
camera, and no frame would be looked at any more. So from some delay on all packets are dropped undecoded until the
stream has been caught up with and a key frame comes. The ring keeps dropped packets all the same.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["CAUGHT_UP_S", "LATE_FRAME_S", "TOO_LATE_S", "LoadShedder", "ShedWatch"]

# Packets.
TOO_LATE_S = 1.5  # later than this, packets are dropped at once
LATE_S, LATE_FOR_S = 0.7, 1.0  # later than the first for the second: decoding alone does not catch up soon
CAUGHT_UP_S = 0.25
NEARLY_S, PATIENCE_S = 0.6, 6.0  # on a network that delays every key frame, this must do after a while
SIGN_OF_LIFE_S = 1.0  # a key frame is decoded at least so often, so that a camera never seems dead
LONGEST_S = 30.0  # cameras that refresh their picture bit by bit send no key frames

# Frames: none is looked at from the first limit on until the second is reached.
LATE_FRAME_S, IN_TIME_FRAME_S = 0.7, 0.3

# What is told of it.
WINDOW_S = 10.0  # of which the share that is left out is taken
MUCH, LITTLE = 0.1, 0.01  # of the frames: from the first share on it is said, until it stays below the second ...
CALM_WINDOWS = 3  # ... for so many windows


class LoadShedder:
    """What is left out of one camera's streams while they are late.

    Attributes:
        dropped_packets: packets that were not decoded.
        dropped_frames: frames that were decoded and not looked at.
    """

    def __init__(self) -> None:
        self.dropped_packets = 0
        self.dropped_frames = 0
        self._dropping_since_s: float | None = None
        self._late_since_s: float | None = None
        self._key_frame_s = -1e9  # the last key frame that was not dropped
        self._frames_late = False

    def drops_packet(self, is_key: bool, lag_s: float, now_s: float) -> bool:
        """Decide whether the next packet is dropped instead of decoded.

        Args:
            lag_s: how late it is.
            now_s: monotonic clock.
        """
        if self._dropping_since_s is None:
            self._dropping_since_s = now_s if self._is_too_late(lag_s, now_s) else None
        elif _has_caught_up(is_key, lag_s, now_s - self._dropping_since_s):
            self._dropping_since_s = self._late_since_s = None
            self._frames_late = False
        if self._dropping_since_s is not None and not (is_key and now_s - self._key_frame_s >= SIGN_OF_LIFE_S):
            self.dropped_packets += 1
            return True
        if is_key:
            self._key_frame_s = now_s
        return False

    def drops_frame(self, lag_s: float) -> bool:
        """Decide whether the next decoded frame is dropped instead of looked at, because it is `lag_s` late."""
        if lag_s > LATE_FRAME_S:
            self._frames_late = True
        elif lag_s < IN_TIME_FRAME_S:
            self._frames_late = False
        self.dropped_frames += self._frames_late
        return self._frames_late

    def reopen(self) -> None:
        """The stream was opened again: its first packets are not late."""
        self._dropping_since_s = self._late_since_s = None

    def _is_too_late(self, lag_s: float, now_s: float) -> bool:
        if lag_s < CAUGHT_UP_S:
            self._late_since_s = None
        elif lag_s > LATE_S and self._late_since_s is None:
            self._late_since_s = now_s
        return lag_s > TOO_LATE_S or (self._late_since_s is not None and now_s - self._late_since_s > LATE_FOR_S)


def _has_caught_up(is_key: bool, lag_s: float, dropping_s: float) -> bool:
    enough_s = CAUGHT_UP_S if dropping_s < PATIENCE_S else NEARLY_S
    return lag_s < enough_s and (is_key or dropping_s > LONGEST_S)


class ShedWatch:
    """Tell people when much is left out of a camera's streams, and when that is over."""

    def __init__(self, shedder: LoadShedder, notify: Callable[[str], None]) -> None:
        """
        Args:
            notify: gets one line when it begins and one when it is over.
        """
        self._shedder, self._notify = shedder, notify
        self._begin_s: float | None = None
        self._frames = self._left_out = 0
        self._telling, self._calm = False, 0

    def look(self, decoded: int, now_s: float) -> None:
        """To be called about once a second.

        Args:
            decoded: frames of this process so far.
            now_s: monotonic clock.
        """
        frames = decoded + self._shedder.dropped_packets
        left_out = self._shedder.dropped_packets + self._shedder.dropped_frames
        if self._begin_s is not None and now_s - self._begin_s < WINDOW_S:
            return
        if self._begin_s is not None:
            self._judge((left_out - self._left_out) / max(1, frames - self._frames))
        self._begin_s, self._frames, self._left_out = now_s, frames, left_out

    def _judge(self, share: float) -> None:
        self._calm = self._calm + 1 if share <= LITTLE else 0
        if share > MUCH and not self._telling:
            self._telling = True
            self._notify(
                "this machine is too slow for it: frames are left out (frames_skipped_total counts them);"
                " set gate_source, a lower max_fps, or let the camera send a smaller picture"
            )
        elif self._telling and self._calm >= CALM_WINDOWS:
            self._telling = False
            self._notify("this machine keeps up: every frame is looked at again")
