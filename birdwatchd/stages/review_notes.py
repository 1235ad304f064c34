"""Let the pictures of visits say what people said of them, where it was said by a process that may write no picture.

A crop holds a note of its visit, from which `birdwatchd doctor` makes rows where a database is lost: reviews are the
work of years. The page's process writes the database and no crop (`web/confined.py`), so the daemon renews the notes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from birdwatchd.flow import Stop, StoreRetry

__all__ = ["ReviewNotes", "ReviewedVisits"]

log = logging.getLogger(__name__)

POLL_S = 5.0  # between two looks for new reviews
MISSED = timedelta(days=14)  # of before the start, in which the page may have run without the daemon


class ReviewedVisits(Protocol):
    """What this stage needs of the store."""

    def newest_reviews(self, since: datetime) -> dict[str, tuple[datetime, int]]:
        """Of each visit that was reviewed since then when it was last, and how often."""


class ReviewNotes:
    """Renews the notes of visits that were reviewed, or whose review was undone. `run` it in a thread."""

    def __init__(
        self,
        visits: ReviewedVisits,
        renew_note: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            renew_note: lets the picture of a visit say what its rows say; one that says so already is left as it is.
        """
        self._visits, self._renew_note = visits, renew_note
        self._since = clock() - MISSED
        self._known: dict[str, tuple[datetime, int]] = {}
        self._retry = StoreRetry(
            on_first=lambda error: log.warning("pictures do not say yet what was reviewed: %s", error),
            on_again=lambda: log.info("pictures say again what was reviewed"),
        )

    def run(self, stop: Stop) -> None:
        """Run until the stop."""
        while not stop.wait(POLL_S):
            self.run_once(stop)

    def run_once(self, stop: Stop) -> None:
        """Renew the notes of what changed since the last time; a busy database is asked again later."""
        found = self._retry.attempt(lambda: self._visits.newest_reviews(self._since), self._known)
        changed = [one for one in {*found, *self._known} if found.get(one) != self._known.get(one)]
        for visit_id in changed:
            if stop.is_set():
                return
            self._renew_note(visit_id)
        self._known = found
