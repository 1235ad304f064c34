"""Warn of recordings whose date cannot be: of all of them, before anything that was found in one of them is stored.

A date that is wrong makes firsts that are wrong, of every later year too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from birdwatchd.commands.terminal import DATE_AND_TIME, say_warning

__all__ = ["Dates", "impossible"]

# Clocks that were not set begin in 1970 (Unix), 1980 (FAT, GPS) or 2000 (most clock chips), and go on from there; the
# first cameras that write video on cards came some years later.
EARLIEST_S = 1_104_537_600  # 2005-01-01
CLOCKS_DIFFER_S = 300
LATEST_S = 32_503_680_000  # 3000-01-01; what says a later date than that is shown as this
FURTHEST_ZONE_S = 15 * 3600  # by which local time may be ahead of UTC, and a little
WITHOUT_CLOCK = "set the camera's clock; its visits are stored with this date, unless you press Ctrl-C now"


class Dates:
    """The dates of the recordings of one scan.

    Attributes:
        impossible: paths of recordings with a date that cannot be, which were warned of.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.impossible: set[str] = set()

    def check(self, path: str, began_s: float | None) -> None:
        """Warn of a recording, once.

        Args:
            began_s: when it is said to begin, in seconds since 1970, UTC; None where that is not known.
        """
        if began_s is None:
            return
        why = impossible(began_s, datetime.now(UTC).timestamp())
        if why and path not in self.impossible:
            self.impossible.add(path)
            at = datetime.fromtimestamp(min(max(began_s, 0.0), LATEST_S), self._zone).strftime(DATE_AND_TIME)
            say_warning(f"{path}: its date is {at}, {why}")


def impossible(began_s: float, now_s: float) -> str:
    """Why no camera recorded anything at this time, and what to do; empty where it may have.

    Args:
        began_s, now_s: seconds since 1970, UTC.
    """
    if began_s < EARLIEST_S:
        return f"that of a clock that was never set; {WITHOUT_CLOCK}"
    if began_s <= now_s + CLOCKS_DIFFER_S or now_s < EARLIEST_S:  # the latter: this machine's own clock is not set
        return ""
    if began_s <= now_s + FURTHEST_ZONE_S:
        return "which is in the future; if its camera writes local time, give its zone: --zone Europe/Berlin"
    return f"which is in the future; {WITHOUT_CLOCK}"
