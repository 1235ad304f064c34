"""The record stage: write each revision of a visit in one transaction, then wake the publisher."""

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
from birdwatchd.stages.classify import STOPPING_CROPS_S, ClassifiedEvidence

__all__ = ["Record", "Withdraw", "Write", "visit_of"]

log = logging.getLogger(__name__)

RETRY_WRITE_S = 1.0
Write = Callable[[Visit, Sequence[Prediction]], bool]
Withdraw = Callable[[Visit], None]


class Record:
    """Writes classified evidence: one transaction per visit revision; waits while the database is busy."""

    def __init__(
        self,
        inbox: Handover[tuple[ClassifiedEvidence, ...]],
        write: Write,
        model: str,
        metrics: Metrics,
        *,
        stop: Stop,
        wake: Callable[[], None],
        on_visit: Callable[[Visit], None],
        withdraw: Withdraw = lambda visit: None,
        on_withdrawn: Callable[[Visit], None] = lambda visit: None,
    ) -> None:
        """
        Args:
            write: stores a revision with its moments and messages; True if it was new.
            wake: wakes the publisher, since there may be messages.
            on_visit: called with every revision that was stored.
            withdraw: removes what turned out to be no visit.
            on_withdrawn: called with every visit that was removed, or would have been stored.
        """
        self._inbox, self._write, self._model, self._metrics = inbox, write, model, metrics
        self._stop, self._wake, self._on_visit = stop, wake, on_visit
        self._withdraw, self._on_withdrawn = withdraw, on_withdrawn
        self._retry = StoreRetry(
            on_first=lambda error: log.error("visits wait to be written: %s", error),
            on_each=lambda: metrics.add("store_retries_total"),
            on_again=lambda: log.info("visits are written again"),
        )
        self.beat_s = time.monotonic()

    def run(self) -> None:
        """Run until classify has closed the hand-over and it is empty."""
        try:
            while self.run_once():
                self.beat_s = time.monotonic()
        finally:
            self._inbox.close()  # if this stage fails, nobody waits for it

    def run_once(self) -> bool:
        """Write one batch; False when there will be no more."""
        item = self._inbox.take()
        if item == "ended":
            return False
        if item == "nothing yet":
            return True
        for classified in item:
            visit = visit_of(classified, self._model)
            if classified.withdrawn:
                self._remove(visit)
            elif self._retry.until_done(partial(self._write, visit, classified.predictions), self._wait):
                self._metrics.add("visit_revisions_total", camera=visit.camera)
                self._on_visit(visit)
        self._wake()
        return True

    def _remove(self, visit: Visit) -> None:
        def removed() -> bool:
            self._withdraw(visit)
            return True

        if self._retry.until_done(removed, self._wait) and visit.clip is None:
            self._metrics.add("visits_withdrawn_total", camera=visit.camera)
            log.debug("visit %s of camera %s was none: %s", visit.visit_id, visit.camera, visit.verdict.reasons[0])
            self._on_withdrawn(visit)

    def _wait(self) -> bool:
        """Sleep until a write is tried again; False when the stop leaves no more time for that."""
        self.beat_s = time.monotonic()
        if self._stop.for_seconds(self.beat_s) > STOPPING_CROPS_S:
            return False
        self._stop.wait(RETRY_WRITE_S)
        return True


def visit_of(classified: ClassifiedEvidence, model: str) -> Visit:
    """The visit with this evidence included."""
    evidence = classified.evidence
    return Visit(
        visit_id=evidence.visit_id,
        camera=evidence.camera,
        revision=evidence.revision,
        start=evidence.start,
        end=evidence.end,
        last_seen=evidence.last_seen,
        verdict=classified.verdict,
        moments=classified.moments,
        count_max=evidence.count_max,
        box=classified.box,
        model=model,
        media=evidence.media,
        start_s=evidence.start_s,
        end_s=evidence.end_s,
        clip=evidence.clip,
        clip_cut=evidence.clip_cut,
        clock=evidence.clock,
    )
