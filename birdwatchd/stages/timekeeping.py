"""The timekeeping stage: follow the system's clock when somebody puts it right, and what was stamped before with it.

Twice a second it compares the station's time with the system's clock. Database, cameras and broker go by the station's
time, and so agree.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from birdwatchd.clock import ClockChange, StationClock
from birdwatchd.flow import Stop, StoreRetry
from birdwatchd.store import Clocks, Shifted

__all__ = ["Timekeeping", "in_words"]

log = logging.getLogger(__name__)

POLL_S = 0.5


class Timekeeping:
    """Keeps the station's time right. `run` it in a thread."""

    def __init__(
        self,
        clock: StationClock,
        clocks: Clocks,
        *,
        before_change: Callable[[], None] = lambda: None,
        renew_note: Callable[[str], None] = lambda visit_id: None,
        on_change: Callable[[timedelta], None] = lambda by: None,
    ) -> None:
        """
        Args:
            before_change: writes what waits to be written with the old time.
            renew_note: lets the picture of a visit say its new times.
            on_change: called with what was added to the station's time when it was, or when visits were marked.
        """
        self._clock, self._clocks, self._renew_note, self._on_change = clock, clocks, renew_note, on_change
        self._before_change = before_change
        self._renewed: list[str] = []  # visits whose pictures still say their old times
        self._retry = StoreRetry(
            on_first=lambda error: log.error("the clock is not followed yet: %s", error),
            on_again=lambda: log.info("the clock is followed again"),
        )

    def run(self, stop: Stop) -> None:
        """Run until the stop."""
        while not stop.wait(POLL_S):
            self.run_once()
            while self._renewed and not stop.is_set():
                self._renew_note(self._renewed.pop())

    def run_once(self) -> None:
        """Look at the clock, and make the change that it asks for, if any."""
        change = self._clock.look()
        if change is not None:
            self._retry.attempt(lambda: self._make(change), None)

    def _make(self, change: ClockChange) -> None:
        if change.by:
            self._before_change()
        done = self._clocks.change(self._clock, change)
        if change.by:
            direction = "forward" if change.by > timedelta() else "back"
            log.warning("the system's clock was put %s by %s; %s", direction, in_words(change.by), _what(change, done))
        elif change.synchronised:
            log.info("the system's clock is synchronised")
        self._renewed += done.visits
        if change.by or done.visits:
            self._on_change(change.by)


def _what(change: ClockChange, done: Shifted) -> str:
    if not change.was_synchronised:
        return f"{len(done.visits)} visits of this run are put right by as much"
    if done.visits:
        return f"{len(done.visits)} visits lie in the future now and count for nothing: see `birdwatchd clock`"
    return "visits from before stay as they are"


def in_words(by: timedelta) -> str:
    """How much that is, roughly: `24 years`, `3 days`, `2 hours`, `40 s`."""
    seconds = abs(by.total_seconds())
    for name, length in (("years", 31_556_952), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
