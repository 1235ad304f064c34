"""Record judged evidence: one transaction for each revision of a visit, then wake the publisher."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from birdwatchd.flow import Handover, Stop, StoreRetry
from birdwatchd.metrics import Metrics
from birdwatchd.records import (
    Prediction,
    Visit,
)
from birdwatchd.stages.classify import STOPPING_CROPS_S, Judged

__all__ = ["Record", "Write", "visit_of"]

log = logging.getLogger(__name__)

RETRY_WRITE_S = 1.0
Write = Callable[[Visit, Sequence[Prediction]], bool]


class Record:
    """Write what was judged: one transaction per visit revision, and nothing is forgotten while the disk is busy."""

    def __init__(
        self,
        inbox: Handover[tuple[Judged, ...]],
        write: Write,
        model: str,
        metrics: Metrics,
        *,
        stop: Stop,
        wake: Callable[[], None],
        on_visit: Callable[[Visit], None],
    ) -> None:
        """
        Args:
            write: stores a revision with its moments and messages; True if it was news.
            wake: tells the publisher that there may be messages.
            on_visit: is shown every revision that was stored.
        """
        self._inbox, self._write, self._model, self._metrics = inbox, write, model, metrics
        self._stop, self._wake, self._on_visit = stop, wake, on_visit
        self._retry = StoreRetry(
            on_first=lambda error: log.error("visits wait to be written: %s", error),
            on_each=lambda: metrics.add("store_retries_total"),
        )
        self.beat = time.monotonic()

    def run(self) -> None:
        """Until classify has closed the hand-over and it is empty."""
        try:
            while self.run_once():
                self.beat = time.monotonic()
        finally:
            self._inbox.close()  # should this stage die, nobody waits for it

    def run_once(self) -> bool:
        """One batch of judged evidence; False when there will be no more."""
        item = self._inbox.take()
        if item == "ended":
            return False
        if item == "nothing yet":
            return True
        for judged in item:
            visit = visit_of(judged, self._model)
            if self._retry.until_done(partial(self._write, visit, judged.predictions), self._wait):
                self._metrics.add("visit_revisions_total", camera=visit.camera)
                self._on_visit(visit)
        self._wake()
        return True

    def _wait(self) -> bool:
        """Sleep until a write is tried again; False when the stop leaves no more time for that."""
        self.beat = time.monotonic()
        if self._stop.for_seconds(self.beat) > STOPPING_CROPS_S:
            return False
        self._stop.wait(RETRY_WRITE_S)
        return True


def visit_of(judged: Judged, model: str) -> Visit:
    """The visit as it stands after this evidence."""
    evidence = judged.evidence
    return Visit(
        visit_id=evidence.visit_id,
        camera=evidence.camera,
        revision=evidence.revision,
        start=evidence.start,
        end=evidence.end,
        last_seen=evidence.last_seen,
        verdict=judged.verdict,
        moments=judged.moments,
        count_max=evidence.count_max,
        box=judged.box,
        model=model,
        media=evidence.media,
        start_s=evidence.start_s,
        end_s=evidence.end_s,
        clip=evidence.clip,
        clip_cut=evidence.clip_cut,
    )
