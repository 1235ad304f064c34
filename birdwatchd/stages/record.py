"""Record judged evidence: one transaction for each revision of a visit, then wake the publisher."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from birdwatchd.errors import StoreBusy, StoreFull
from birdwatchd.flow import Handover, Stop
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
            if self._persist(visit, judged.predictions):
                self._metrics.add("visit_revisions_total", camera=visit.camera)
                self._on_visit(visit)
        self._wake()
        return True

    def _persist(self, visit: Visit, predictions: Sequence[Prediction]) -> bool:
        said = False
        while True:
            try:
                return self._write(visit, predictions)
            except (StoreBusy, StoreFull) as error:
                if self._stop.for_seconds(time.monotonic()) > STOPPING_CROPS_S:
                    raise
                if not said:
                    log.error("visits wait to be written: %s", error)
                    said = True
                self._metrics.add("store_retries_total")
                self.beat = time.monotonic()
                self._stop.wait(RETRY_WRITE_S)


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
