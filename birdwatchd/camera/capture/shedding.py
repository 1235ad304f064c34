"""Leave packets undecoded when decoding itself is too slow, so that an overloaded machine sees less and not nothing.

A picture that comes late is decoded and not looked at (`worker`); that helps where looking is what takes too long.
Where decoding alone takes more time than there is, everything would be ever later: a file would play in slow motion, a
live stream would back up into the camera, and no picture would be looked at any more. So from some delay on all packets
are left out, undecoded, until the stream has been caught up with and a key frame comes. They are counted, and the ring
has them all the same.
"""

from __future__ import annotations

__all__ = ["CAUGHT_UP_S", "TOO_LATE_S", "CatchUp"]

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
