"""Let the pictures of visits say what people said of them, where it was said by a process that may write no picture.

A crop holds a note of its visit, from which `birdwatchd doctor` makes rows where a database is lost: reviews are the
work of years. The page's process writes the database and no crop (`web/confined.py`), so the daemon renews the notes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from birdwatchd.flow import Stop, StoreRetry

__all__ = ["ReviewNotes"]

log = logging.getLogger(__name__)

POLL_S = 5.0  # between two looks for new reviews
MISSED = timedelta(days=14)  # of before the start, in which the page may have run without the daemon


class ReviewNotes:
    """Renews the notes of visits that were reviewed, or whose review was undone. `run` it in a thread."""

    def __init__(
        self,
        version: Callable[[], object],
        times: Callable[[], Mapping[str, tuple[datetime, ...]]],
        renew_note: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            version: what changes with each review and each undo.
            times: when each reviewed visit was reviewed, the newest review last; read when the version changed.
            renew_note: lets the picture of a visit say what its rows say; one that says so already is left as it is.
        """
        self._version, self._times, self._renew_note = version, times, renew_note
        self._since = clock() - MISSED
        self._seen: object = None  # version of what is known
        self._known: Mapping[str, tuple[datetime, ...]] | None = None
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
        self._retry.attempt(lambda: self._renew(stop), None)

    def _renew(self, stop: Stop) -> None:
        version = self._version()
        if version == self._seen:
            return
        times = self._times()
        for visit_id in self._changed(times):
            if stop.is_set():
                return
            self._renew_note(visit_id)
        self._seen, self._known = version, times

    def _changed(self, times: Mapping[str, tuple[datetime, ...]]) -> list[str]:
        """The visits of which something else is said than before; at the start, those that were reviewed lately."""
        if self._known is None:
            return [visit_id for visit_id, said in times.items() if said[-1] >= self._since]
        return [one for one in {**self._known, **times} if times.get(one) != self._known.get(one)]
